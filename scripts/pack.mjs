// `pnpm pack:all [--cuda] [--built]`: a tarball of every package as npm would have it, in out/packages, and one of each addon
// that this machine builds: @vitgraph/cuda-kernels-linux-x64 holds the CPU's, @vitgraph/cuda-kernels-linux-x64-cuda CUDA's.
//
//     --cuda    the CUDA addon too, for all architectures (VITGRAPH_CUDA_ARCHITECTURES names fewer): takes minutes
//     --built   packs the addons of the last `npm run build`, as the install test does, instead of portable ones
//
// A portable addon has no OpenBLAS, and its own copy of the C++ library, so that it asks for glibc alone.
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
import { join } from "node:path";
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

/**
 * @param addons the folder of the built `.node` files
 * @returns the tarballs' paths
 */
export function pack({ addons, out = OUT }) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const manifests = readdirSync(join(root, "packages"))
    .filter((folder) => existsSync(join(root, "packages", folder, "package.json")))
    .map((folder) => ({ folder: `packages/${folder}`, manifest: readJson(folder) }))
    // The VS Code extension is packed as a .vsix, by its own script.
    .filter(({ manifest }) => manifest.engines?.vscode === undefined);
  const versions = new Map(manifests.map(({ manifest }) => [manifest.name, manifest.version]));
  for (const { folder, manifest } of manifests) {
    const staged = join(out, "staged", manifest.name);
    mkdirSync(staged, { recursive: true });
    copyFiles(join(root, folder), staged, manifest.files);
    const readme = publishedReadme(
      readFileSync(join(root, folder, "README.md"), "utf8"),
      folder,
      repositoryPage(REPOSITORY),
    );
    writeFileSync(join(staged, "README.md"), readme);
    finish(staged, { ...published(manifest, versions), ...origin(folder) }, out);
  }
  for (const backend of ["cpu", "cuda"])
    packAddon(backend, join(addons, `vitgraph_${backend}.node`), versions, out);
  return readdirSync(out)
    .filter((name) => name.endsWith(".tgz"))
    .map((name) => join(out, name));
}

const readJson = (folder) => JSON.parse(readFileSync(join(root, "packages", folder, "package.json"), "utf8"));

/** `files` as npm reads it: names, and names that are left out. */
function copyFiles(source, staged, files) {
  const left = files.filter((name) => name.startsWith("!")).map((name) => join(source, name.slice(1)));
  for (const name of files.filter((name) => !name.startsWith("!"))) {
    const from = join(source, name);
    if (!existsSync(from)) fail(`${from} is to be packed and does not exist: run npm run build.`);
    cpSync(from, join(staged, name), { recursive: true, filter: (path) => !left.includes(path) });
  }
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

function packAddon(backend, addon, versions, out) {
  if (!existsSync(addon)) {
    if (backend === "cpu") fail(`${addon} does not exist: run npm run build.`);
    return;
  }
  const { platform, arch } = process;
  const name = `${KERNELS}-${platform}-${arch}${backend === "cuda" ? "-cuda" : ""}`;
  const staged = join(out, "staged", name);
  mkdirSync(staged, { recursive: true });
  const target = join(staged, `vitgraph_${backend}.node`);
  cpSync(addon, target);
  if (run("strip", platform === "darwin" ? ["-x", target] : [target]) !== 0)
    fail("strip could not shrink the addon.");
  const title = backend === "cuda" ? "CUDA" : "CPU";
  const text = `The ${title} addon of ${KERNELS} for ${platform} ${arch}${platform === "linux" ? " (glibc)" : ""}.`;
  writeFileSync(join(staged, "README.md"), `# ${name}\n\n${text}\n`);
  const manifest = {
    name,
    version: versions.get(KERNELS),
    description: text,
    license: "Apache-2.0",
    keywords: KEYWORDS,
    os: [platform],
    cpu: [arch],
    ...(platform === "linux" ? { libc: ["glibc"] } : {}),
    ...origin("packages/cuda-kernels"),
    publishConfig: { access: "public" },
  };
  finish(staged, manifest, out);
}

function finish(staged, manifest, out) {
  for (const name of ["LICENSE", "NOTICE"]) cpSync(join(root, name), join(staged, name));
  writeFileSync(join(staged, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  const packed = run("npm", ["pack", "--silent", "--pack-destination", out], {
    cwd: staged,
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (packed !== 0) fail(`npm could not pack ${manifest.name}.`);
}

function buildPortable(cuda) {
  const folder = join(root, "out", "native");
  const env = {
    ...process.env,
    VITGRAPH_BUILD_FOLDER: folder,
    VITGRAPH_OPENBLAS: "off",
    VITGRAPH_CUDA: cuda ? "on" : "off",
    VITGRAPH_CUDA_ARCHITECTURES: process.env.VITGRAPH_CUDA_ARCHITECTURES ?? "all",
    VITGRAPH_CMAKE_ARGS: `-DVITGRAPH_PORTABLE=ON ${process.env.VITGRAPH_CMAKE_ARGS ?? ""}`,
  };
  // An addon that is not built this time must not be packed.
  rmSync(join(folder, "Release"), { recursive: true, force: true });
  const script = join(root, "packages/cuda-kernels/scripts/build-native.mjs");
  if (run(process.execPath, [script], { env }) !== 0) fail("the addons could not be built: see above.");
  return join(folder, "Release");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { cuda: { type: "boolean" }, built: { type: "boolean" } } });
  install();
  build();
  const addons =
    values.built === true
      ? join(root, "packages/cuda-kernels/build/Release")
      : buildPortable(values.cuda === true);
  for (const tarball of pack({ addons })) {
    console.log(`${tarball}: ${(statSync(tarball).size / 1e6).toFixed(2)} MB`);
  }
}
