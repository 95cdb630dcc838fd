// `pnpm bundle [--xz]`: one archive that runs vitgraph on a Linux x64 machine which has neither Node nor npm, GPU or not. It
// holds this Node, the packages as one JavaScript file, both native addons, samples, the suites and benches that want a
// GPU, and the PyTorch peer's scripts.
//
//     VITGRAPH_CUDA                 auto (default), on, off: the CUDA addon
//     VITGRAPH_CUDA_ARCHITECTURES   what it is built for (default: all; "90a" builds quicker)
//
// `--xz` takes a quarter off the archive and a minute more; gzip is what every machine can unpack.
//
// The addons are built for the archive: the CPU's without OpenBLAS, which the other machine need not have. What was
// packed is then unpacked into an empty folder and run there without any environment.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { install } from "./bootstrap.mjs";
import { checkNode, fail, root, run } from "./toolchain.mjs";

/** What it must stay below, so that it is quickly copied to where it runs. */
const SIZE_LIMIT_BYTES = 80_000_000;
/** How each format is made from a tar file, in its place. */
const COMPRESSORS = {
  gz: ["gzip", "-9", "-n", "-f"],
  xz: ["xz", "-6", "-T0", "-f"],
};
const SAMPLE_IMAGES = [
  "image0_224x224.png",
  "image1_640x427.png",
  "image2_1021x767.png",
  "image3_57x301.png",
  "image4_2300x1500.jpg",
  "pillow/420.jpg",
  "pillow/lossy.webp",
];
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const NAME = `vitgraph-${version}-linux-x64`;
const OUT = join(root, "out", "bundle");
const NATIVE = join(OUT, "native");
const STAGE = join(OUT, NAME);

const USAGE = `node scripts/bundle.mjs [--xz]: ${NAME}.tar.gz, or .tar.xz, in out/bundle`;

/** The archive's format. Before anything is built. */
function readFormat() {
  try {
    const { values } = parseArgs({ options: { xz: { type: "boolean" }, help: { type: "boolean" } } });
    if (values.help !== true) return values.xz === true ? "xz" : "gz";
  } catch (error) {
    fail(`${error.message}\n${USAGE}`);
  }
  console.log(USAGE);
  process.exit(0);
}

async function main() {
  const format = readFormat();
  checkNode();
  if (process.platform !== "linux" || process.arch !== "x64") {
    fail(`a bundle is made on Linux x64 for Linux x64, and this is ${process.platform} ${process.arch}.`);
  }
  install();
  buildAddons();
  rmSync(STAGE, { recursive: true, force: true });
  mkdirSync(STAGE, { recursive: true });
  await bundleJavaScript();
  copyNode();
  copyAddons();
  copyImageLibrary();
  copySamples();
  copyBenchmarks();
  writeLauncher();
  writeReadme();
  const archive = pack(format);
  prove(archive);
  const sizeBytes = statSync(archive).size;
  console.log(`${archive}: ${(sizeBytes / 1e6).toFixed(1)} MB`);
  if (sizeBytes >= SIZE_LIMIT_BYTES) {
    fail(
      `the bundle has ${sizeBytes} bytes, and must stay below ${SIZE_LIMIT_BYTES}: see what grew in ${STAGE}.`,
    );
  }
}

function buildAddons() {
  console.log("Building the addons (CUDA for every architecture takes minutes the first time)…");
  // An addon that is not built this time must not be packed.
  rmSync(join(NATIVE, "Release"), { recursive: true, force: true });
  const env = {
    ...process.env,
    VITGRAPH_BUILD_FOLDER: NATIVE,
    VITGRAPH_OPENBLAS: "off",
    VITGRAPH_CUDA: process.env.VITGRAPH_CUDA ?? "auto",
    VITGRAPH_CUDA_ARCHITECTURES: process.env.VITGRAPH_CUDA_ARCHITECTURES ?? "all",
  };
  const script = join(root, "packages/cuda-kernels/scripts/build-native.mjs");
  if (run(process.execPath, [script], { env }) !== 0) fail("the addons could not be built: see above.");
}

/** From the sources, so that it never packs a stale build. The addons are found beside it, as in the package. */
async function bundleJavaScript() {
  const { build } = await import("tsup");
  await build({
    config: false,
    entry: {
      cli: join(root, "packages/cli/src/cli.ts"),
      "gpu-suite": join(root, "test/gpu-suite.ts"),
      "engine-load": join(root, "benchmarks/engine-load.ts"),
      "grid-cache": join(root, "benchmarks/grid-cache.ts"),
      soak: join(root, "benchmarks/soak.ts"),
    },
    outDir: join(STAGE, "dist"),
    format: ["esm"],
    platform: "node",
    target: "node20",
    noExternal: [/.*/],
    splitting: false,
    metafile: true,
    silent: true,
    // Packages in CommonJS among them ask for `require`.
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; globalThis.require ??= requireFrom(import.meta.url);',
    },
    esbuildOptions(options) {
      options.conditions = ["vitgraph-source", "module"];
      options.absWorkingDir = root;
    },
  });
  // `vitgraph serve` has a live page; its licenses are beside it.
  const { buildPage } = await import("../packages/server/page/build.mjs");
  await buildPage(join(STAGE, "dist/page"));
  const metafile = join(STAGE, "dist/metafile-esm.json");
  copyLicences(Object.keys(JSON.parse(readFileSync(metafile, "utf8")).inputs));
  rmSync(metafile);
  copy("packages/cli/bin/vitgraph.mjs", "bin/vitgraph.mjs");
  for (const name of ["LICENSE", "NOTICE"]) copy(name, name);
  writeFileSync(
    join(STAGE, "package.json"),
    `${JSON.stringify({ name: "vitgraph", version, commit: commit(), type: "module" })}\n`,
  );
}

/** For benchmarks/compare.mjs, whose report says what was measured. */
function commit() {
  const git = (...args) => spawnSync("git", ["-C", root, ...args], { encoding: "utf8" }).stdout ?? "";
  const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
  return `${git("rev-parse", "--short", "HEAD").trim() || "unknown"}${changed ? ", with changes" : ""}`;
}

/** Of every package that went into the JavaScript file. */
function copyLicences(inputs) {
  const packages = new Set(
    inputs.flatMap((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []),
  );
  for (const directory of packages) copyLicence(join(root, directory));
}

function copyLicence(directory) {
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  const file = readdirSync(directory).find((name) => /^licen[cs]e/i.test(name));
  const text = file === undefined ? standardText(manifest) : readFileSync(join(directory, file), "utf8");
  writeLicence(`${manifest.name}-${manifest.version}`, text);
}

/** Of a package that names its licence and leaves the text out, as libvips' does. */
function standardText({ name, license }) {
  // Loaded here, since in a fresh clone nothing is installed when this file is read.
  const licences = createRequire(import.meta.url)("spdx-license-list/full.js");
  const names = license.split(/ AND | OR /);
  const texts = names.map(
    (id) => licences[id]?.licenseText ?? fail(`${name} has no licence text for ${id}.`),
  );
  return `${license}\n\n${texts.join("\n\n")}\n`;
}

function writeLicence(name, text) {
  mkdirSync(join(STAGE, "licences"), { recursive: true });
  writeFileSync(join(STAGE, "licences", `${name.replaceAll("/", "-")}.txt`), text);
}

function copyNode() {
  const node = join(STAGE, "runtime/node");
  mkdirSync(dirname(node), { recursive: true });
  cpSync(realpathSync(process.execPath), node);
  chmodSync(node, 0o755);
  strip(node);
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const licence = ["LICENSE", "share/doc/nodejs/LICENSE"].map((path) => join(prefix, path)).find(existsSync);
  const text =
    licence === undefined
      ? `https://github.com/nodejs/node/blob/${process.version}/LICENSE\n`
      : readFileSync(licence);
  writeLicence(`node-${process.version}`, text);
}

function copyAddons() {
  for (const addon of readdirSync(join(NATIVE, "Release")).filter((name) => name.endsWith(".node"))) {
    const target = join(STAGE, "build/Release", addon);
    cpSync(join(NATIVE, "Release", addon), target);
    strip(target);
  }
  if (!existsSync(join(STAGE, "build/Release/vitgraph_cuda.node"))) {
    console.log(
      "note: the CUDA addon was not built (no nvcc, or VITGRAPH_CUDA=off): the bundle has the CPU backend alone.",
    );
  }
}

/** sharp's JavaScript is in the bundled file; its native half and libvips are packages of their own. */
function copyImageLibrary() {
  const sharp = realpathSync(join(root, "packages/cli/node_modules/sharp"));
  const require = createRequire(join(sharp, "package.json"));
  for (const name of ["@img/sharp-linux-x64", "@img/sharp-libvips-linux-x64"]) {
    const source = dirname(require.resolve(`${name}/package`));
    const target = join(STAGE, "node_modules", name);
    // Without the headers that libvips brings along.
    const wanted = (path) => !statSync(path).isDirectory() || !/^(glib-2\.0|include)$/.test(basename(path));
    cpSync(source, target, { recursive: true, dereference: true, filter: wanted });
    copyLicence(source);
  }
}

function copySamples() {
  for (const name of ["config.json", "model.safetensors", "cases.json", "cases.safetensors"]) {
    copy(`test/fixtures/qwen3-vl-tiny/${name}`, `samples/qwen3-vl-tiny/${name}`);
  }
  for (const name of SAMPLE_IMAGES) copy(`test/fixtures/images/${name}`, `samples/images/${name}`);
}

function copyBenchmarks() {
  copy("benchmarks/compare.mjs", "benchmarks/compare.mjs");
  for (const name of readdirSync(join(root, "benchmarks/peer")).filter((file) => /\.(py|md)$/.test(file))) {
    copy(`benchmarks/peer/${name}`, `benchmarks/peer/${name}`);
  }
  // vLLM's connector, to install with pip; benchmarks/peer/connector.py runs it under the stubs of its tests.
  const connector = "packages/vllm-connector";
  const modules = readdirSync(join(root, connector, "src/vitgraph_vllm")).filter((name) =>
    name.endsWith(".py"),
  );
  const sources = modules.map((name) => `src/vitgraph_vllm/${name}`);
  for (const name of ["README.md", "pyproject.toml", "test/stubs.py", ...sources])
    copy(`${connector}/${name}`, `vllm-connector/${name}`);
}

function writeLauncher() {
  const launcher = join(STAGE, "vitgraph");
  const text = `#!/bin/sh
# vitgraph on the Node beside it; reached through a symbolic link, too.
self=$0
case $self in */*) ;; *) self=./$self ;; esac
[ -h "$self" ] && self=$(readlink -f -- "$self")
exec "\${self%/*}/runtime/node" "\${self%/*}/bin/vitgraph.mjs" "$@"
`;
  writeFileSync(launcher, text, { mode: 0o755 });
}

function writeReadme() {
  const text = `# vitgraph ${version} for Linux x64

Runs where it was unpacked; nothing is installed. It needs ${requirements()}, and NVIDIA's driver for the CUDA backend.

    ./vitgraph doctor
    ./vitgraph encode samples/images/* --model samples/qwen3-vl-tiny --output embeddings.safetensors
    ./vitgraph verify --model samples/qwen3-vl-tiny --reference samples/qwen3-vl-tiny/cases.safetensors
    ./vitgraph bench --arch qwen3-vl-8b --load-format dummy
    runtime/node benchmarks/compare.mjs --arch qwen3-vl-8b
    runtime/node dist/gpu-suite.js samples/qwen3-vl-tiny
    runtime/node dist/soak.js --backend cuda --model samples/qwen3-vl-tiny --images samples/images
    runtime/node dist/engine-load.js --backend cuda
    runtime/node dist/grid-cache.js cuda
    python3 benchmarks/peer/connector.py

compare.mjs and connector.py need a Python with torch, compare.mjs also transformers: see benchmarks/peer. vllm-connector/ is vLLM's
connector for pip. gpu-suite compares every kernel with float64, and runs captured graphs against the known bugs of
other engines; soak, engine-load and grid-cache are benches of the engine. Licences of the packed software: licences/.
`;
  writeFileSync(join(STAGE, "README.md"), text);
}

/** The newest versions of the system's libraries that any binary names. */
function requirements() {
  const addons = readdirSync(join(STAGE, "build/Release")).map((name) => join("build/Release", name));
  const binaries = ["runtime/node", ...addons].map((path) => readFileSync(join(STAGE, path), "latin1"));
  const newest = (symbol) =>
    binaries
      .flatMap((text) => text.match(new RegExp(`\\b${symbol}_\\d+(\\.\\d+)+`, "g")) ?? [])
      .sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
      .at(-1);
  return `${newest("GLIBC")?.replace("_", " ").toLowerCase()} and a libstdc++ with ${newest("GLIBCXX")}`;
}

/** The same files give the same archive: order, owners and times are fixed. */
function pack(format) {
  const tar = join(OUT, `${NAME}.tar`);
  for (const old of Object.keys(COMPRESSORS)) rmSync(`${tar}.${old}`, { force: true });
  const fixed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"];
  if (run("tar", [...fixed, "-C", OUT, "-cf", tar, NAME]) !== 0) fail("tar could not pack the bundle.");
  const [command, ...args] = COMPRESSORS[format];
  if (run(command, [...args, tar]) !== 0) fail(`${command} could not compress the bundle.`);
  return `${tar}.${format}`;
}

/** Unpacks into an empty folder and runs the commands there, without any environment variable. */
function prove(archive) {
  console.log("Trying it in an empty folder…");
  const folder = mkdtempSync(join(tmpdir(), "vitgraph-bundle-"));
  const unpacked = run("tar", ["-C", folder, "-xf", archive]) === 0;
  const failure = unpacked ? firstFailure(join(folder, NAME)) : "it does not unpack.";
  rmSync(folder, { recursive: true });
  if (failure !== null) fail(`the bundle does not work: ${failure}`);
}

function firstFailure(cwd) {
  const model = ["--model", "samples/qwen3-vl-tiny", "--backend", "cpu"];
  const images = SAMPLE_IMAGES.map((name) => `samples/images/${name}`);
  for (const args of [
    ["doctor"],
    ["encode", ...images, ...model, "--output", "embeddings.safetensors"],
    ["verify", ...model, "--reference", "samples/qwen3-vl-tiny/cases.safetensors"],
    ["bench", ...model, "--only", "1x224", "--repetitions", "1", "--warmup", "0"],
  ]) {
    const { status, stdout, stderr } = spawnSync("./vitgraph", args, { cwd, env: {}, encoding: "utf8" });
    if (status !== 0) return `./vitgraph ${args[0]} ends with exit code ${status}:\n${stdout}${stderr}`;
    console.log(`  ./vitgraph ${args[0]}: ok`);
  }
  return null;
}

/** Symbols for debuggers are most of what can go. */
function strip(path) {
  const { status } = spawnSync("strip", [path]);
  if (status !== 0) console.log(`note: strip could not shrink ${basename(path)}; it is packed as it is.`);
}

function copy(from, to) {
  mkdirSync(dirname(join(STAGE, to)), { recursive: true });
  cpSync(join(root, from), join(STAGE, to));
}

await main();
