/** Measures the samples of a device's cost model: random images through every budget, at a few fill ratios. */
import { randomFill } from "node:crypto";
import { promisify } from "node:util";
import { budgetTokensOf } from "@vitgraph/scheduler";
import { type EncoderItem, patchCount, rowElements } from "../item.js";
import { stillGrids } from "../models/still-grids.js";
import { itemSpec, type VisionModel } from "../models/vision-model.js";
import { allDone } from "../runtime/all-done.js";
import { patchShapeOf } from "../runtime/check-item.js";
import { eagerCapacity } from "../runtime/encoder-programs.js";
import type { VisionEncoder } from "../runtime/vision-encoder.js";
import type { LatencySample } from "./cost-model.js";

/** How full a budget is when it is measured. Padding is nearly free, so that cost follows the content. */
const FILL_RATIOS = [0.25, 0.5, 1];
/** The first round warms up; of the others the median counts. */
const ROUNDS = 4;
/**
 * Every budget is measured with items of one size: attention costs the same however items are packed, and larger items
 * would inflate the cost of larger budgets.
 */
const MEASURED_ITEM_TOKENS = 64;

interface Probe {
  readonly budget: number | null;
  readonly tokens: number;
  readonly items: readonly EncoderItem[];
}

/**
 * Runs random images through every budget, and through the programs of eager batches: under constant load, as in an
 * engine, and interleaved. A GPU with pauses clocks higher, and pauses around the short runs alone would make small
 * batches look cheaper than they are. Takes a few dozen runs of the tower.
 */
export async function measureCosts(encoder: VisionEncoder): Promise<readonly LatencySample[]> {
  const runs = await probesOf(encoder);
  const rounds: (readonly number[])[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // All at once: the encoder queues them, and the device never idles.
    rounds.push(await allDone(runs.map((run) => durationOf(encoder, run))));
  }
  return runs.map(({ budget, tokens }, index) => {
    const durationMs = median(rounds.slice(1).map((durations) => durations[index] as number));
    return { budget, tokens, durationMs };
  });
}

/** The largest first, so that the arenas reach their final size at once. */
async function probesOf(encoder: VisionEncoder): Promise<readonly Probe[]> {
  const { budgets, tokenBudgets, model } = encoder;
  const { vision } = model;
  const largest = Math.max(...budgets.limits.tokenBudgets);
  const replays = tokenBudgets.flatMap((budget) =>
    FILL_RATIOS.map((fill) => ({ budget, tokens: Math.max(1, Math.floor(budget * fill)) })),
  );
  const eager = eagerSizes(largest, Math.max(0, ...tokenBudgets)).map((tokens) => ({ budget: null, tokens }));
  const pixels = await randomPixels(vision, Math.min(largest, measuredItemTokens(vision)));
  const runs = new Map<string, Probe>();
  for (const { budget, tokens } of [...replays, ...eager].sort((a, b) => b.tokens - a.tokens)) {
    const items = stillGrids(vision, tokens, MEASURED_ITEM_TOKENS).map((grid): EncoderItem => {
      return { format: "u8_still", grid, pixels: pixels.subarray(0, patchCount(grid) * rowBytes(vision)) };
    });
    const real = items.reduce((sum, item) => sum + budgetTokensOf(encoder.specOf(item)), 0);
    if (real > 0) runs.set(`${budget} ${real}`, { budget, tokens: real, items });
  }
  return [...runs.values()];
}

/** The minimum and maximum tokens of every program that runs batches of up to `largest` tokens eagerly. */
function eagerSizes(largest: number, largestBudget: number): readonly number[] {
  const sizes: number[] = [];
  for (let fewest = 1; fewest <= largest; ) {
    const most = Math.min(largest, eagerCapacity(fewest, largestBudget));
    sizes.push(...new Set([fewest, most]));
    fewest = most + 1;
  }
  return sizes;
}

async function durationOf(encoder: VisionEncoder, { items, budget }: Probe): Promise<number> {
  const [outcome] = await encoder.run(items, budget);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return outcome.value.batch.durationMs;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}

function measuredItemTokens(vision: VisionModel): number {
  const { fixedGrid } = vision;
  return fixedGrid === undefined ? MEASURED_ITEM_TOKENS : budgetTokensOf(itemSpec(vision, fixedGrid));
}

/** Random, because zeros would run faster than real pixels. Filled on libuv's threads. */
async function randomPixels(vision: VisionModel, tokens: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(tokens * vision.spatialMergeSize ** 2 * rowBytes(vision));
  await promisify(randomFill)(bytes);
  return bytes;
}

function rowBytes(vision: VisionModel): number {
  return rowElements("u8_still", patchShapeOf(vision));
}
