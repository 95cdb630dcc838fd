/**
 * Builds the native addon into build/Release, through cmake-js. Nothing is downloaded: the Node-API headers are a package.
 *
 *     VITGRAPH_NATIVE_JOBS   compilers to run at once (default: one a core)
 *     VITGRAPH_OPENBLAS      auto (default), on, off: matrix products through OpenBLAS
 *     VITGRAPH_CUDA          auto (default), on, off: the CUDA addon, where nvcc is found
 *     VITGRAPH_CUDA_ARCHITECTURES   default: those of this machine's GPUs, or 90a where there is none: one is quick;
 *                            "all" (80;86;89;90a;100;120 and PTX) is for what leaves this machine
 *     VITGRAPH_BUILD_FOLDER  where to build (default: build, where the package looks for its addons)
 *     VITGRAPH_CMAKE_ARGS    more arguments for cmake, separated by spaces: -DVITGRAPH_SANITIZE=address …
 *     CXX                    the C++ compiler
 *
 * What cmake and the compiler say goes to build/build.log; the terminal gets the progress, and on a failure the log's end.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { delimiter, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { writeSignatures } from "./generate-signatures.mjs";

const packageRoot = fileURLToPath(new URL("..", import.meta.url));
const buildFolder = resolve(process.env.VITGRAPH_BUILD_FOLDER ?? join(packageRoot, "build"));
const logFile = join(buildFolder, "build.log");
const addon = join(buildFolder, "Release", "vitgraph_cpu.node");
const LOG_TAIL_LINES = 40;

class BuildError extends Error {}

async function main() {
  const missing = missingTools();
  if (missing.length > 0) {
    throw new BuildError(
      `the native build needs ${missing.join(" and ")}, which ${missing.length === 1 ? "was" : "were"} not found: ${installAdvice()}`,
    );
  }
  forgetMovedFolder();
  mkdirSync(buildFolder, { recursive: true });
  const log = createWriteStream(logFile);
  const started = performance.now();
  try {
    await writeSignatures(join(buildFolder, "generated"));
    await cmakeJs("configure", log);
    await cmakeJs("build", log);
  } catch (error) {
    await new Promise((resolve) => log.end(resolve));
    process.stderr.write(`\n${tail(logFile)}\n`);
    throw error;
  }
  log.end();
  if (!existsSync(addon))
    throw new BuildError(`the build ended without ${relative(process.cwd(), addon)}: see ${logFile}`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const cuda = existsSync(join(buildFolder, "Release", "vitgraph_cuda.node"));
  const backends = cuda
    ? "the CPU and the CUDA addon"
    : "the CPU addon (nvcc was not found or not asked for: no CUDA)";
  say(`native: built ${backends} in ${seconds} s\n`);
}

/** What a build needs and this machine lacks, in words. */
function missingTools() {
  const missing = [];
  if (!inPath("cmake")) missing.push("cmake (3.18 or newer)");
  const compilers = [process.env.CXX, "c++", "g++", "clang++"].filter(
    (name) => name !== undefined && name !== "",
  );
  // On Windows cmake finds Visual Studio by itself, outside of the path.
  if (process.platform !== "win32" && !compilers.some(inPath))
    missing.push("a C++20 compiler (g++ 11 or clang 14, or newer)");
  return missing;
}

function installAdvice() {
  switch (process.platform) {
    case "darwin":
      return "run `xcode-select --install` and `brew install cmake`";
    case "win32":
      return "install CMake and the Visual Studio Build Tools with C++";
    default:
      return "run `apt-get install g++ cmake make` (Debian, Ubuntu) or `dnf install gcc-c++ cmake make` (Fedora, RHEL)";
  }
}

function inPath(name) {
  const folders = name.includes("/") ? [""] : (process.env.PATH ?? "").split(delimiter);
  const suffixes = process.platform === "win32" ? [".exe", ".cmd"] : [""];
  return folders.some((folder) => suffixes.some((suffix) => isExecutable(join(folder, name + suffix))));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** cmake refuses a build folder that was configured somewhere else: a checkout that was moved, or restored from a cache. */
function forgetMovedFolder() {
  const cache = join(buildFolder, "CMakeCache.txt");
  if (!existsSync(cache)) return;
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, "utf8"))?.[1];
  if (home !== undefined && join(home, "/") !== join(packageRoot, "/"))
    rmSync(buildFolder, { recursive: true });
}

/** Compute capabilities of the GPUs here, without the dot; Hopper's kernels need the "a" of theirs. */
function localArchitectures() {
  const query = spawnSync("nvidia-smi", ["--query-gpu=compute_cap", "--format=csv,noheader"], {
    encoding: "utf8",
  });
  const found = (query.stdout ?? "").match(/\d+\.\d+/g) ?? ["9.0"];
  const names = found
    .map((capability) => capability.replace(".", ""))
    .map((name) => (name === "90" ? "90a" : name));
  return [...new Set(names)].join(";");
}

async function cmakeJs(command, log) {
  const openblas = (process.env.VITGRAPH_OPENBLAS ?? "auto").toUpperCase();
  const architectures = process.env.VITGRAPH_CUDA_ARCHITECTURES ?? localArchitectures();
  const jobs = process.env.VITGRAPH_NATIVE_JOBS ?? String(availableParallelism());
  const args = [
    createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js"),
    command,
    ...[
      "--directory",
      packageRoot,
      "--out",
      buildFolder,
      "--parallel",
      jobs,
      `--CDVITGRAPH_OPENBLAS=${openblas}`,
      // A published package has no tests.
      `--CDVITGRAPH_TESTS=${existsSync(join(packageRoot, "native", "test")) ? "ON" : "OFF"}`,
      `--CDVITGRAPH_CUDA=${(process.env.VITGRAPH_CUDA ?? "auto").toUpperCase()}`,
      ...(architectures === "all" ? [] : [`--CDVITGRAPH_CUDA_ARCHITECTURES=${architectures}`]),
    ],
    ...(process.env.VITGRAPH_CMAKE_ARGS ?? "")
      .split(" ")
      .filter((argument) => argument.startsWith("-D"))
      .map((argument) => `--CD${argument.slice(2)}`),
  ];
  const child = spawn(process.execPath, args, { cwd: packageRoot, stdio: ["ignore", "pipe", "pipe"] });
  const progress = new Progress();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      log.write(chunk);
      progress.read(String(chunk));
    });
  }
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  progress.end();
  if (code !== 0)
    throw new BuildError(
      `the native build failed while ${command === "build" ? "compiling" : "configuring"}: the whole log is in ${logFile}`,
    );
}

/** Follows ninja's "[3/24]" or make's "[ 12%]": one line that is rewritten in a terminal, a few lines in a log. */
class Progress {
  static #secondsBetweenLines = 5;
  #shown = "";
  #shownAt = -Infinity;

  read(text) {
    const step = [...text.matchAll(/^\[\s*(\d+\/\d+|\d+%)\]/gm)].at(-1)?.[1];
    if (step === undefined || step === this.#shown) return;
    const now = performance.now() / 1000;
    if (process.stdout.isTTY) process.stdout.write(`\rnative: compiling ${step} `);
    else if (now - this.#shownAt < Progress.#secondsBetweenLines) return;
    else say(`native: compiling ${step}\n`);
    this.#shown = step;
    this.#shownAt = now;
  }

  end() {
    if (process.stdout.isTTY && this.#shown !== "") process.stdout.write("\r");
  }
}

/** Without the lines of cmake-js, which say only that cmake failed. */
function tail(file) {
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines
    .filter((line) => !line.startsWith("ERROR OMG"))
    .slice(-LOG_TAIL_LINES)
    .join("\n");
}

function say(text) {
  process.stdout.write(text);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
