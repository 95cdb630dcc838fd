// `npm run clean`: removes everything that can be built or installed again.
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./toolchain.mjs";

const packages = readdirSync(join(root, "packages")).map((name) => join(root, "packages", name));
for (const directory of [
  root,
  join(root, "test"),
  join(root, "test/hosts"),
  join(root, "benchmarks"),
  ...packages,
]) {
  for (const built of ["node_modules", "dist", "build", ".turbo", "out"]) {
    rmSync(join(directory, built), { recursive: true, force: true });
  }
}
