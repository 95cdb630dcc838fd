/** How waiting items become batches on one device: the rule, the device's costs, and what may be replayed at all. */
import {
  type Batch,
  type BatchCost,
  createCostPacker,
  type ItemSpec,
  type PackLimits,
  packFirstFitDecreasing,
  packGreedyAscending,
} from "@vitgraph/scheduler";
import type { EncoderBudgets } from "../runtime/budgets.js";

/**
 * `cost`: the batches of least measured cost. `greedy`: vLLM's rule, ascending by tokens. `first-fit`: first fit
 * decreasing, where small items fill the gaps of large ones.
 */
export type PackingRule = "cost" | "greedy" | "first-fit";

export type PackItems = (items: readonly ItemSpec[]) => readonly Batch[];

type Pack = (limits: PackLimits, cost: BatchCost) => PackItems;

const RULES: Readonly<Record<PackingRule, Pack>> = {
  cost: (limits, cost) => warmedUp(createCostPacker(limits, cost), limits),
  greedy: (limits) => (items) => packGreedyAscending(items, limits),
  "first-fit": (limits) => (items) => packFirstFitDecreasing(items, limits),
};

export const PACKING_RULES = Object.keys(RULES) as readonly PackingRule[];

/**
 * Batches with the budget to replay. Without graphs, and for videos that graphs are not for, that is none; images and
 * such videos then don't share a batch.
 */
export function createPacker(
  rule: PackingRule,
  { cudagraph, videos, limits }: EncoderBudgets,
  cost: BatchCost,
): PackItems {
  const pack = RULES[rule](limits, cost);
  const eager = (batches: readonly Batch[]) => batches.map((batch) => ({ ...batch, budget: null }));
  if (!cudagraph) return (items) => eager(pack(items));
  if (videos) return pack;
  return (items) => {
    const isVideo = ({ frames = 1 }: ItemSpec) => frames > 1;
    return [...packSome(items, (item) => !isVideo(item), pack), ...eager(packSome(items, isVideo, pack))];
  };
}

/** Packs the items that are wanted; the batches speak of all by their position. */
export function packSome(
  items: readonly ItemSpec[],
  wanted: (item: ItemSpec, index: number) => boolean,
  pack: PackItems,
): readonly Batch[] {
  const indices = items.flatMap((item, index) => (wanted(item, index) ? [index] : []));
  return pack(indices.map((index) => items[index] as ItemSpec)).map((batch) => ({
    ...batch,
    items: batch.items.map((at) => indices[at] as number),
  }));
}

/** More sizes than are solved exactly, so that what the search prepares once is there before the first caller comes. */
const WARM_UP_SIZES = 16;

function warmedUp(pack: PackItems, { tokenBudgets }: PackLimits): PackItems {
  const largest = Math.max(...tokenBudgets);
  const sizes = Array.from({ length: WARM_UP_SIZES }, (_, index) => index + 1).filter(
    (size) => size <= largest,
  );
  pack(sizes.map((outputTokens) => ({ inputSize: outputTokens, outputTokens })));
  return pack;
}
