// `npm run fuzz [-- TARGET] [--seconds 600] [--seed N]`: feeds random input to the fuzz targets in test/fuzz for a while, to
// one of them or to each for its share of the time. Prints the seeds; a failure repeats with its seed.
import { parseArgs } from "node:util";
import { build, install } from "./bootstrap.mjs";
import { fail, pnpm } from "./toolchain.mjs";

const { values, positionals } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
  allowPositionals: true,
});
for (const [name, value] of Object.entries(values)) {
  if (!/^\d+$/.test(value)) fail(`--${name} is ${value}: give a whole number.`);
}
if (positionals.length > 1) fail(`one target at a time, not ${positionals.length}.`);
install();
build();
Object.assign(process.env, { VITGRAPH_FUZZ_SECONDS: values.seconds, VITGRAPH_FUZZ_SEED: values.seed });
if (positionals.length === 1) process.env.VITGRAPH_FUZZ_TARGET = positionals[0];
process.exitCode = pnpm(["-C", "test", "exec", "vitest", "run", "fuzz/long-run"]);
