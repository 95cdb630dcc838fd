// `npm test`: installs and builds what is missing, then lints, type-checks and runs every test. turbo remembers what
// passed and did not change. `npm test -- --force` runs everything again.
import { build, install } from "./bootstrap.mjs";
import { pnpm } from "./toolchain.mjs";

install();
build();
console.log("Linting…");
const lint = pnpm(["run", "lint:all"]);
console.log("Checking types and running the tests…");
const logs = process.env.CI ? "full" : "new-only";
const tests = pnpm([
  "exec",
  "turbo",
  "run",
  "check",
  "test",
  `--output-logs=${logs}`,
  "--continue",
  ...process.argv.slice(2),
]);
process.exitCode = lint || tests;
