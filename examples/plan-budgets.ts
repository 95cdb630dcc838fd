/**
 * Plans token budgets for a day's traffic: reads sizes of images from a log, one "WIDTHxHEIGHT" a line, converts them to
 * tokens like Qwen3-VL's processor, and finds the budgets with the least padding. `vitgraph plan` also draws the result.
 *
 *     pnpm plan-budgets sizes.txt
 */
import { readFile } from "node:fs/promises";
import { imageTokenCount, readImageProcessor } from "@vitgraph/core";
import { planBudgets, powerOfTwoBudgets, reportBudgets } from "@vitgraph/scheduler";

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: plan-budgets FILE");
  process.exit(2);
}

const processor = readImageProcessor(undefined, "qwen3_vl");
const sizes = (await readFile(path, "utf8")).match(/\d+x\d+/g) ?? [];
if (sizes.length === 0) {
  console.error(`${path} has no sizes: write one WIDTHxHEIGHT a line`);
  process.exit(1);
}
const tokens = sizes.map((size) => {
  const [width = 0, height = 0] = size.split("x").map(Number);
  return imageTokenCount({ width, height }, processor);
});
const plan = planBudgets(tokens, { maxGraphs: 6 });
const powers = reportBudgets(tokens, powerOfTwoBudgets(64, Math.max(...tokens)));
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
console.log(`padding: ${percent(plan.padding)} planned, ${percent(powers.padding)} with powers of two`);
console.log(JSON.stringify({ cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: plan.budgets }));
