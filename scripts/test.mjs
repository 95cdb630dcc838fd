// `npm test`: installs and builds what is missing, then lints, type-checks and runs every test. turbo remembers what
// passed and did not change. `npm test -- --force` runs everything again.
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build, install } from "./bootstrap.mjs";
import { pnpm, root } from "./toolchain.mjs";

/** turbo writes a summary of each run there. */
const summaries = join(root, ".turbo", "runs");
/** Lines that are printed of each failed task's log: vitest ends its output with the tests that failed. */
const LOG_LINES = 100;

install();
build();
console.log("Linting…");
const lint = pnpm(["run", "lint:all"]);
console.log("Checking types and running the tests…");
const logs = process.env.CI ? "full" : "new-only";
rmSync(summaries, { recursive: true, force: true });
const tests = pnpm([
  "exec",
  "turbo",
  "run",
  "check",
  "test",
  `--output-logs=${logs}`,
  "--continue",
  "--summarize",
  ...process.argv.slice(2),
]);
if (tests !== 0) printFailures();
if (lint !== 0) console.log("\nLinting failed: run `npm run lint`.");
process.exitCode = lint || tests;

/** Tasks run side by side, so the lines of a failed one are far above, among those of the others. */
function printFailures() {
  const tasks = readdirSync(summaries).flatMap(
    (name) => JSON.parse(readFileSync(join(summaries, name), "utf8")).tasks,
  );
  for (const { taskId, execution, logFile } of tasks) {
    if (!(execution?.exitCode > 0)) continue;
    const lines = readFileSync(join(root, logFile), "utf8").trimEnd().split("\n");
    console.log(`\n${taskId} failed:\n${lines.slice(-LOG_LINES).join("\n")}`);
  }
}
