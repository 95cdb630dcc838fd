/**
 * The cost model of one device: milliseconds of a batch, interpolated from measured samples (measure-costs.ts), or
 * estimated from the model's FLOPs. It decides packing, the budget, and replay or eager.
 */
import type { DeviceInfo } from "@vitgraph/cuda-kernels";
import { type BatchCost, budgetTokensOf, type ItemSpec } from "@vitgraph/scheduler";
import { graphFlops } from "../graph/graph.js";
import { patchCount } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { itemSpec } from "../models/vision-model.js";
import { workOfGrid } from "../runtime/stage-batch.js";

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

/**
 * The FLOPs of one item, because packing needs them often: attention within segments in closed form, everything else
 * in proportion to tokens, as in an item of a reference size.
 */
export function itemFlops({ graph, vision }: LoadedModel): (spec: ItemSpec) => number {
  const side = ESTIMATED_SIDE * vision.spatialMergeSize;
  const grid = vision.fixedGrid ?? { t: 1, h: side, w: side };
  const { dims, attentionPairs } = workOfGrid(vision, grid);
  // Attention is quadratic in the size of a frame, before and after a merge, but linear in the number of windows.
  const { segments: pairs = 0, windows = 0 } = attentionPairs;
  const other = graphFlops(graph, { dims, attentionPairs: { windows } });
  const perPair = pairs === 0 ? 0 : (graphFlops(graph, { dims, attentionPairs }) - other) / pairs;
  const perToken = other / budgetTokensOf(itemSpec(vision, grid));
  const pairsPerPatch = pairs / patchCount(grid);
  const { chunkFrames = 1 } = vision;
  return (spec) => {
    const { inputSize, frames = 1 } = spec;
    const pairsOfPatch =
      vision.fixedGrid === undefined ? inputSize / Math.ceil(frames / chunkFrames) : pairsPerPatch;
    return perToken * budgetTokensOf(spec) + perPair * inputSize * pairsOfPatch;
  };
}

/** Costs of a device without graphs, or without measurements: proportional to FLOPs, without padding. */
export function estimateCosts(model: LoadedModel, { backend }: Pick<DeviceInfo, "backend">): BatchCost {
  const tokens = ESTIMATED_ITEM_TOKENS;
  const item = { inputSize: tokens * model.vision.spatialMergeSize ** 2, outputTokens: tokens };
  const msPerToken = itemFlops(model)(item) / tokens / (NOMINAL_GFLOPS[backend] * 1e6);
  return (count) => BATCH_MS + msPerToken * count;
}
