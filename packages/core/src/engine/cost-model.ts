/**
 * The cost model of one device: milliseconds of a batch, measured at a few fill ratios of each budget, or estimated
 * from the model's FLOPs. It decides packing, the budget, and replay or eager.
 */
import { randomFill } from "node:crypto";
import { promisify } from "node:util";
import type { DeviceInfo } from "@vitgraph/cuda-kernels";
import { type BatchCost, budgetTokensOf, type ItemSpec } from "@vitgraph/scheduler";
import { graphFlops } from "../graph/graph.js";
import { type EncoderItem, patchCount, rowElements } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { stillGrids } from "../models/still-grids.js";
import { itemSpec, type VisionModel } from "../models/vision-model.js";
import { allDone } from "../runtime/all-done.js";
import { eagerCapacity } from "../runtime/encoder-programs.js";
import type { VisionEncoder } from "../runtime/vision-encoder.js";

/** One measured run. */
export interface LatencySample {
  /** The budget that was replayed; null for an eager run. */
  readonly budget: number | null;
  readonly tokens: number;
  readonly durationMs: number;
}

/**
 * An eager run costs more than its device time: launching it occupies a thread, and if it runs the same kernels as a
 * replay, noise must not favour it.
 */
const EAGER_FACTOR = 1.03;

/**
 * Interpolates the samples linearly: constant below the first, and extrapolated beyond the last. The cost never
 * decreases as tokens or budgets grow: a lower measurement is noise, and is raised to the one before it. So of budgets
 * with equal cost the smallest is chosen. A budget without samples is excluded (Infinity).
 */
export function costFromSamples(points: readonly LatencySample[]): BatchCost {
  const curves = new Map<number | null, Curve>();
  for (const budget of new Set(points.map((point) => point.budget))) {
    const factor = budget === null ? EAGER_FACTOR : 1;
    const own = points.filter((point) => point.budget === budget);
    curves.set(
      budget,
      rising(own.map(({ tokens, durationMs }) => ({ tokens, durationMs: factor * durationMs }))),
    );
  }
  const budgets = [...curves.keys()].filter((budget) => budget !== null);
  return (tokens, budget) => {
    const curve = curves.get(budget);
    if (curve === undefined) return Number.POSITIVE_INFINITY;
    const own = interpolate(curve, tokens);
    if (budget === null) return own;
    const smaller = budgets.filter((other) => other < budget);
    const least = smaller.map((other) => interpolate(curves.get(other) as Curve, Math.min(tokens, other)));
    return Math.max(own, ...least);
  };
}

type Curve = readonly Knot[];

interface Knot {
  readonly tokens: number;
  readonly durationMs: number;
}

/** Ascending by tokens, one knot for each, never falling. */
function rising(points: readonly Knot[]): Curve {
  const knots: Knot[] = [];
  for (const { tokens, durationMs } of [...points].sort((a, b) => a.tokens - b.tokens)) {
    const last = knots.at(-1);
    const floor = Math.max(durationMs, last?.durationMs ?? 0);
    if (last?.tokens === tokens) knots.pop();
    knots.push({ tokens, durationMs: floor });
  }
  return knots;
}

function interpolate(knots: Curve, tokens: number): number {
  const first = knots[0] as Knot;
  if (tokens <= first.tokens || knots.length === 1) return first.durationMs;
  const above = knots.findIndex((knot) => knot.tokens >= tokens);
  const at = above < 0 ? knots.length - 1 : above;
  const [left, right] = [knots[at - 1] as Knot, knots[at] as Knot];
  if (tokens === right.tokens) return right.durationMs;
  const slope = (right.durationMs - left.durationMs) / (right.tokens - left.tokens);
  // Rounding must not take it below what was measured for fewer tokens.
  const floor = tokens > right.tokens ? right.durationMs : left.durationMs;
  return Math.max(floor, left.durationMs + slope * (tokens - left.tokens));
}

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

function rowBytes({
  spatialMergeSize: mergeSize,
  channels,
  temporalPatchSize: temporal,
  patchSize: patch,
}: VisionModel) {
  return rowElements("u8_still", { mergeSize, channels, temporal, patch });
}

/**
 * Estimated rates in 10⁹ operations per second, correct to an order of magnitude. They matter only if devices of
 * several kinds share the work: for one device, FLOPs alone determine the relative costs.
 */
const NOMINAL_GFLOPS: Readonly<Record<DeviceInfo["backend"], number>> = {
  cpu: 100,
  cuda: 200_000,
  null: 100,
};
/** Tokens along one side of an image of a quarter of a megapixel: attention's share of the arithmetic depends on the size. */
const ESTIMATED_SIDE = 16;
const ESTIMATED_ITEM_TOKENS = ESTIMATED_SIDE ** 2;
/** Constant cost of a batch: submission, tables, results. */
const BATCH_MS = 0.2;

/** The FLOPs of one item in closed form, because packing needs them often. */
export function itemFlops({ graph, vision }: LoadedModel): (spec: ItemSpec) => number {
  const merge = vision.spatialMergeSize;
  const area = merge ** 2;
  // FLOPs of attention are quadratic in the size of a frame, but linear in the number of windows.
  const grid = vision.fixedGrid ?? { t: 1, h: ESTIMATED_SIDE * merge, w: ESTIMATED_SIDE * merge };
  const patches = patchCount(grid);
  const windowed = vision.layout(grid).segments.cu_window_seqlens ?? [];
  const pairsPerToken = (windowed.reduce((sum, length) => sum + length * length, 0) / patches) * area;
  const nothing = Object.fromEntries(Object.keys(vision.dims).map((dim) => [dim, 0]));
  const none = { dims: { ...nothing, patches: 0, tokens: 0 }, attentionPairs: {} };
  const fixed = graphFlops(graph, none);
  const perToken =
    graphFlops(graph, {
      dims: { ...vision.dims, patches: area, tokens: 1 },
      attentionPairs: { windows: pairsPerToken },
    }) - fixed;
  const perPair = graphFlops(graph, { ...none, attentionPairs: { segments: 1 } }) - fixed;
  const { chunkFrames = 1 } = vision;
  return (spec) => {
    const { inputSize, frames = 1 } = spec;
    const segment = vision.fixedGrid === undefined ? inputSize / Math.ceil(frames / chunkFrames) : patches;
    return perToken * budgetTokensOf(spec) + perPair * inputSize * segment;
  };
}

/** Costs of a device without graphs, or without measurements: proportional to FLOPs, without padding. */
export function estimateCosts(model: LoadedModel, { backend }: Pick<DeviceInfo, "backend">): BatchCost {
  const tokens = ESTIMATED_ITEM_TOKENS;
  const item = { inputSize: tokens * model.vision.spatialMergeSize ** 2, outputTokens: tokens };
  const msPerToken = itemFlops(model)(item) / tokens / (NOMINAL_GFLOPS[backend] * 1e6);
  return (count) => BATCH_MS + msPerToken * count;
}
