// `npm run sanitize [-- --seconds 60]`: builds the CPU addon and the native tests with AddressSanitizer and
// UndefinedBehaviorSanitizer, in a folder of their own, and runs under them the tests of @vitgraph/cuda-kernels that call
// native code, and each fuzz target of native code for so many seconds. A finding ends the process that it is in. Linux with
// GCC.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, install } from "./bootstrap.mjs";
import { fail, root, run } from "./toolchain.mjs";

const TESTS = [
  "device",
  "imaging",
  "kernels.test",
  "memory",
  "native-tests",
  "program-validation",
  "teardown",
  "weights",
];
const FUZZ_TARGETS = ["program-decoder", "imaging"];

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" } } });
if (!/^\d+$/.test(values.seconds)) fail(`--seconds is ${values.seconds}: give a whole number.`);
if (process.platform !== "linux") fail("the sanitizers are preloaded into Node, which needs Linux.");

/** The sanitizer's library, which has to be in the process before the addon is. */
function runtime(library) {
  const { stdout } = spawnSync("g++", [`-print-file-name=${library}`], { encoding: "utf8" });
  const path = stdout?.trim() ?? "";
  if (!path.startsWith("/")) fail(`g++ has no ${library}: install GCC with its sanitizers.`);
  return path;
}

install();
build();
const packageFolder = join(root, "packages", "cuda-kernels");
const buildFolder = join(packageFolder, "build", "sanitize");
const built = run(process.execPath, [join(packageFolder, "scripts", "build-native.mjs")], {
  env: {
    ...process.env,
    CXX: "g++",
    VITGRAPH_BUILD_FOLDER: buildFolder,
    VITGRAPH_CUDA: "off",
    VITGRAPH_CMAKE_ARGS: "-DVITGRAPH_SANITIZE=address,undefined",
  },
});
if (built !== 0) process.exit(built);

// Into files, since a test runner keeps what a process says that ends so early.
const report = join(buildFolder, "report");
for (const file of reports()) rmSync(file);

const environment = {
  ...process.env,
  VITGRAPH_CPU_ADDON: join(buildFolder, "Release", "vitgraph_cpu.node"),
  VITGRAPH_NATIVE_TESTS: join(buildFolder, "Release", "vitgraph_tests"),
  LD_PRELOAD: [runtime("libasan.so"), runtime("libubsan.so")].join(" "),
  ASAN_OPTIONS: [
    // Node and V8 never free what lives as long as the process.
    "detect_leaks=0",
    // Sizes beyond the machine's memory are errors that the tests ask for.
    "allocator_may_return_null=1",
    // Tests hold the process's memory against a bound.
    "quarantine_size_mb=32",
    `log_path=${report}`,
  ].join(":"),
  UBSAN_OPTIONS: `print_stacktrace=1:log_path=${report}`,
};

function reports() {
  return readdirSync(buildFolder)
    .filter((name) => name.startsWith("report."))
    .map((name) => join(buildFolder, name));
}

/** Runs vitest in a folder, without the processes around it: a sanitizer watches each that it is preloaded into. */
function vitest(folder, args, extra = {}) {
  const script = join(root, "node_modules", "vitest", "vitest.mjs");
  return run(process.execPath, [script, "run", ...args], {
    cwd: join(root, folder),
    env: { ...environment, ...extra },
  });
}

let failed = vitest(
  "packages/cuda-kernels",
  TESTS.map((name) => `src/${name}`),
);
for (const target of FUZZ_TARGETS) {
  failed ||= vitest("test", ["fuzz/long-run"], {
    VITGRAPH_FUZZ_TARGET: target,
    VITGRAPH_FUZZ_SECONDS: values.seconds,
    VITGRAPH_FUZZ_SEED: String(Date.now() % 2 ** 31),
  });
}
for (const file of reports()) {
  const text = readFileSync(file, "utf8");
  // A size that is refused is a warning here.
  if (!/ERROR|runtime error/.test(text)) continue;
  console.error(text);
  failed ||= 1;
}
process.exitCode = failed;
