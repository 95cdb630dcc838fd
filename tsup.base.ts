import { defineConfig, type Options } from "tsup";

/** What every package's build has in common; a package names its entries and adds what is its own. */
export function packageBuild(entry: Record<string, string>, overrides: Options = {}) {
  return defineConfig({
    entry,
    format: ["esm", "cjs"],
    // Most of a build's time; nothing in this repository reads them, since it type-checks the sources.
    dts: process.env.VITGRAPH_TYPES !== "off",
    sourcemap: true,
    clean: true,
    shims: true,
    splitting: true,
    target: "node20",
    ...overrides,
  });
}
