// `pnpm pack:all [--cuda] [--built]`: a tarball of every package as npm would have it, in out/packages, and one of each addon
// that this machine builds: @vitgraph/cuda-kernels-linux-x64 holds the CPU's, @vitgraph/cuda-kernels-linux-x64-cuda CUDA's.
// The CPU addon of another platform is cross-compiled if its compiler is installed (CROSS_COMPILERS); its tarball is in a
// folder named after the platform, since npm refuses to install it here. Addons that are not packed are listed with the reason.
//
//     --cuda    the CUDA addon too, for all architectures (VITGRAPH_CUDA_ARCHITECTURES names fewer): takes minutes
//     --built   packs what the last `npm run build` built, installs and compiles nothing, and lists what is missing
//
// A portable addon has no OpenBLAS, and its own copy of the C++ library: it needs glibc alone, of the version of the system
// that built it or a newer one.
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build, install } from "./bootstrap.mjs";
import { publishedReadme, repositoryPage } from "./published-readme.mjs";
import { fail, root, run } from "./toolchain.mjs";

const OUT = join(root, "out", "packages");
const KERNELS = "@vitgraph/cuda-kernels";
/** Platforms whose addons are built, here or in the CI workflow, each on a machine of its kind. */
const CPU_PLATFORMS = ["linux-x64", "linux-arm64", "darwin-arm64"];
const CUDA_PLATFORMS = ["linux-x64", "linux-arm64"];
/** Platforms whose CPU addon is cross-compiled on Linux: the prefix of the tools, and Debian's package of them. */
const CROSS_COMPILERS = {
  "linux-arm64": { prefix: "aarch64-linux-gnu-", processor: "aarch64", debian: "g++-aarch64-linux-gnu" },
};
const HERE = `${process.platform}-${process.arch}`;
const { repository: REPOSITORY } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const KEYWORDS = [
  "vision-transformer",
  "vit",
  "multimodal",
  "llm",
  "inference",
  "cuda",
  "vllm",
  "embeddings",
];

/** Whether this machine has the cross compiler of `platform`. */
export const canCrossCompile = (platform) =>
  process.platform === "linux" &&
  platform !== HERE &&
  spawnSync(`${CROSS_COMPILERS[platform].prefix}g++`, ["--version"]).status === 0;

/**
 * @param addons by platform, the folder of the built `.node` files
 * @returns the tarballs' paths
 */
export function pack({ addons, out = OUT }) {
  const manifests = readdirSync(join(root, "packages"))
    .filter((folder) => existsSync(join(root, "packages", folder, "package.json")))
    .map((folder) => ({ folder: `packages/${folder}`, manifest: readJson(folder) }))
    // The VS Code extension is packed as a .vsix, by its own script.
    .filter(({ manifest }) => manifest.engines?.vscode === undefined);
  const needed = [
    ...manifests.flatMap(({ folder, manifest }) =>
      packedFiles(manifest).map((name) => join(root, folder, name)),
    ),
    ...Object.values(addons).map((folder) => addonFile(folder, "cpu")),
  ];
  const missing = needed.filter((path) => !existsSync(path)).map((path) => relative(root, path));
  if (missing.length > 0) fail(`not built: ${missing.join(", ")}. Run npm run build.`);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const versions = new Map(manifests.map(({ manifest }) => [manifest.name, manifest.version]));
  for (const { folder, manifest } of manifests) {
    const staged = join(out, "staged", manifest.name);
    mkdirSync(staged, { recursive: true });
    copyFiles(join(root, folder), staged, manifest);
    const readme = publishedReadme(
      readFileSync(join(root, folder, "README.md"), "utf8"),
      folder,
      repositoryPage(REPOSITORY),
    );
    writeFileSync(join(staged, "README.md"), readme);
    finish(staged, { ...published(manifest, versions), ...origin(folder) }, out);
  }
  for (const [platform, folder] of Object.entries(addons)) {
    for (const backend of ["cpu", "cuda"])
      packAddon(platform, backend, addonFile(folder, backend), versions, out);
  }
  return readdirSync(out, { recursive: true })
    .filter((name) => name.endsWith(".tgz"))
    .map((name) => join(out, name));
}

const readJson = (folder) => JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8"));

const addonFile = (folder, backend) => join(folder, `vitgraph_${backend}.node`);

/** `files` as npm reads it: names, and names that are left out. */
const packedFiles = ({ files }) => files.filter((name) => !name.startsWith("!"));

function copyFiles(source, staged, manifest) {
  const left = manifest.files
    .filter((name) => name.startsWith("!"))
    .map((name) => join(source, name.slice(1)));
  for (const name of packedFiles(manifest))
    cpSync(join(source, name), join(staged, name), {
      recursive: true,
      filter: (path) => !left.includes(path),
    });
}

/** The manifest without what only the repository needs. */
function published({ private: _, scripts, devDependencies, ...manifest }, versions) {
  const { dependencies, exports, ...rest } = manifest;
  const pinned = Object.entries(dependencies ?? {}).map(([name, range]) => [
    name,
    range.startsWith("workspace:") ? versions.get(name) : range,
  ]);
  const platform = (suffix) => (name) => [`${KERNELS}-${name}${suffix}`, manifest.version];
  const prebuilt =
    manifest.name === KERNELS
      ? {
          optionalDependencies: Object.fromEntries(CPU_PLATFORMS.map(platform(""))),
          // Large, so that it is installed where it is asked for.
          peerDependencies: Object.fromEntries(CUDA_PLATFORMS.map(platform("-cuda"))),
          peerDependenciesMeta: Object.fromEntries(
            CUDA_PLATFORMS.map((name) => [`${KERNELS}-${name}-cuda`, { optional: true }]),
          ),
        }
      : {};
  return {
    ...rest,
    files: [...manifest.files, "NOTICE"],
    keywords: KEYWORDS,
    ...(exports === undefined ? {} : { exports: withoutSources(exports) }),
    dependencies: Object.fromEntries(pinned),
    ...prebuilt,
    publishConfig: { access: "public" },
  };
}

/** Where a registry's page says that the package comes from: needs `repository` in the root package.json. */
function origin(folder) {
  const page = repositoryPage(REPOSITORY);
  if (page === undefined) return {};
  return {
    repository: { type: "git", url: `git+${page}.git`, directory: folder },
    homepage: `${page}/tree/HEAD/${folder}#readme`,
    bugs: `${page}/issues`,
  };
}

/** `vitgraph-source` names the sources, for this repository. */
function withoutSources(exports) {
  if (typeof exports === "string") return exports;
  return Object.fromEntries(
    Object.entries(exports).flatMap(([key, value]) =>
      key === "vitgraph-source" ? [] : [[key, withoutSources(value)]],
    ),
  );
}

const addonPackage = (platform, backend) => `${KERNELS}-${platform}${backend === "cuda" ? "-cuda" : ""}`;

function packAddon(platform, backend, addon, versions, out) {
  if (!existsSync(addon)) return;
  const [os, cpu] = platform.split("-");
  const name = addonPackage(platform, backend);
  const staged = join(out, "staged", name);
  mkdirSync(staged, { recursive: true });
  const target = join(staged, `vitgraph_${backend}.node`);
  cpSync(addon, target);
  const strip = platform === HERE ? "strip" : `${CROSS_COMPILERS[platform].prefix}strip`;
  if (run(strip, os === "darwin" ? ["-x", target] : [target]) !== 0)
    fail(`${strip} could not shrink the addon.`);
  const title = backend === "cuda" ? "CUDA" : "CPU";
  const text = `The ${title} addon of ${KERNELS} for ${os} ${cpu}${os === "linux" ? " (glibc)" : ""}.`;
  writeFileSync(join(staged, "README.md"), `# ${name}\n\n${text}\n`);
  const manifest = {
    name,
    version: versions.get(KERNELS),
    description: text,
    license: "Apache-2.0",
    keywords: KEYWORDS,
    os: [os],
    cpu: [cpu],
    ...(os === "linux" ? { libc: ["glibc"] } : {}),
    ...origin("packages/cuda-kernels"),
    publishConfig: { access: "public" },
  };
  finish(staged, manifest, platform === HERE ? out : join(out, platform));
}

function finish(staged, manifest, out) {
  for (const name of ["LICENSE", "NOTICE"]) cpSync(join(root, name), join(staged, name));
  writeFileSync(join(staged, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  mkdirSync(out, { recursive: true });
  const packed = run("npm", ["pack", "--silent", "--pack-destination", out], {
    cwd: staged,
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (packed !== 0) fail(`npm could not pack ${manifest.name}.`);
}

/** @returns the folder of the built `.node` files */
export function buildPortable(platform, { cuda = false } = {}) {
  const cross = platform === HERE ? undefined : CROSS_COMPILERS[platform];
  const folder = join(root, "out", cross === undefined ? "native" : `native-${platform}`);
  const target =
    cross === undefined ? "" : `-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=${cross.processor}`;
  const env = {
    ...process.env,
    ...(cross === undefined ? {} : { CXX: `${cross.prefix}g++` }),
    VITGRAPH_BUILD_FOLDER: folder,
    VITGRAPH_OPENBLAS: "off",
    VITGRAPH_CUDA: cuda ? "on" : "off",
    VITGRAPH_CUDA_ARCHITECTURES: process.env.VITGRAPH_CUDA_ARCHITECTURES ?? "all",
    VITGRAPH_CMAKE_ARGS: `-DVITGRAPH_PORTABLE=ON ${target} ${process.env.VITGRAPH_CMAKE_ARGS ?? ""}`,
  };
  // An addon that is not built this time must not be packed.
  rmSync(join(folder, "Release"), { recursive: true, force: true });
  const script = join(root, "packages/cuda-kernels/scripts/build-native.mjs");
  if (run(process.execPath, [script], { env }) !== 0) fail("the addons could not be built: see above.");
  return join(folder, "Release");
}

/** A line for each addon that was not packed, and how it is. */
function listMissing(addons, cuda) {
  for (const platform of CPU_PLATFORMS.filter((name) => addons[name] === undefined)) {
    const cross = process.platform === "linux" ? CROSS_COMPILERS[platform] : undefined;
    const remedy = cross === undefined ? "" : `install ${cross.debian}, or `;
    console.log(
      `not packed: ${addonPackage(platform, "cpu")}: ${remedy}run this on ${platform}, as the CI workflow does`,
    );
  }
  for (const platform of CUDA_PLATFORMS.filter((name) => !(cuda && name === HERE))) {
    const remedy = platform === HERE ? "pass --cuda" : `run this with --cuda on ${platform}`;
    console.log(`not packed: ${addonPackage(platform, "cuda")}: ${remedy}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { cuda: { type: "boolean" }, built: { type: "boolean" } } });
  const { cuda = false, built = false } = values;
  if (!built) {
    install();
    build();
  }
  const addons = {
    [HERE]: built ? join(root, "packages/cuda-kernels/build/Release") : buildPortable(HERE, { cuda }),
  };
  if (!built) {
    for (const platform of Object.keys(CROSS_COMPILERS).filter(canCrossCompile))
      addons[platform] = buildPortable(platform);
  }
  for (const tarball of pack({ addons })) {
    console.log(`${tarball}: ${(statSync(tarball).size / 1e6).toFixed(2)} MB`);
  }
  if (!built) listMissing(addons, cuda);
}
