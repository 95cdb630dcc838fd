/** The short run of every fuzz target, from one fixed seed. `npm run fuzz` is the long one. */
import fc from "fast-check";
import { test } from "vitest";
import { loadFuzzTargets, SHORT_RUN_INPUTS, SHORT_RUN_SEED } from "./fuzz-target.js";

for (const { name, property, shortRunInputs = SHORT_RUN_INPUTS } of await loadFuzzTargets()) {
  test(name, async () => {
    await fc.assert(property, { seed: SHORT_RUN_SEED, numRuns: shortRunInputs });
  });
}
