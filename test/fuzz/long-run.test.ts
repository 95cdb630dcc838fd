/**
 * The long run of the fuzz targets, by `npm run fuzz`: new seeds until the time is over, a line a round. Skipped elsewhere.
 * A failure prints the seed and the path, which repeat it.
 */
import fc from "fast-check";
import { describe, test } from "vitest";
import { loadFuzzTargets, SHORT_RUN_INPUTS } from "./fuzz-target.js";

const { VITGRAPH_FUZZ_SECONDS, VITGRAPH_FUZZ_TARGET, VITGRAPH_FUZZ_SEED } = process.env;
const all = await loadFuzzTargets();
const targets = all.filter(({ name }) => (VITGRAPH_FUZZ_TARGET ?? name) === name);
if (targets.length === 0) {
  throw new Error(`no target ${VITGRAPH_FUZZ_TARGET}: use one of ${all.map(({ name }) => name).join(", ")}`);
}
const durationMs = (1000 * Number(VITGRAPH_FUZZ_SECONDS)) / targets.length;

describe.skipIf(VITGRAPH_FUZZ_SECONDS === undefined)("long run", () => {
  test.for(targets)("$name", { timeout: durationMs + 600_000 }, async ({ name, property }) => {
    const endsAt = performance.now() + durationMs;
    let seed = Number(VITGRAPH_FUZZ_SEED);
    let inputs = 0;
    while (performance.now() < endsAt) {
      await fc.assert(property, { seed, numRuns: SHORT_RUN_INPUTS });
      inputs += SHORT_RUN_INPUTS;
      seed += 1;
    }
    console.log(`${name}: ${inputs} inputs, seeds ${VITGRAPH_FUZZ_SEED} to ${seed - 1}`);
  });
});
