/**
 * Packs items into batches for one device: the packing rule, the device's cost model, and the choice between replay and
 * eager.
 */
import {
  type Batch,
  type BatchCost,
  createCostPacker,
  type Packable,
  type PackItems,
  type PackLimits,
  packFirstFitDecreasing,
  packGreedyAscending,
} from "@vitgraph/scheduler";
import type { EncoderBudgets } from "./budgets.js";

/**
 * `cost`: the batches of least measured cost. `greedy`: vLLM's rule, ascending by tokens. `first-fit`: first fit
 * decreasing, where small items fill the gaps of large ones.
 */
export type PackingRule = "cost" | "greedy" | "first-fit";

type Pack = (limits: PackLimits, cost: BatchCost) => PackItems;

const RULES: Readonly<Record<PackingRule, Pack>> = {
  cost: (limits, cost) => warmedUp(createCostPacker(limits, cost), limits),
  greedy: (limits) => (items) => packGreedyAscending(items, limits),
  "first-fit": (limits) => (items) => packFirstFitDecreasing(items, limits),
};

/** The names of the packing rules, the default first. */
export const PACKING_RULES = Object.keys(RULES) as readonly PackingRule[];

/**
 * Batches run eagerly (`budget: null`) without graphs. Videos do if `encoder_cudagraph_max_frames_per_batch` is 0; they
 * then share no batch with images.
 * @param cost of rule `cost`; the others need none
 */
export function createPacker(
  rule: PackingRule,
  { cudagraph, videos, limits }: EncoderBudgets,
  cost: BatchCost = () => 0,
): PackItems {
  const pack = RULES[rule](limits, cost);
  const eager = <T>(batches: readonly Batch<T>[]) => batches.map((batch) => ({ ...batch, budget: null }));
  if (!cudagraph) return (items) => eager(pack(items));
  if (videos) return pack;
  const isVideo = ({ spec: { frames = 1 } }: Packable) => frames > 1;
  return (items) => [...pack(items.filter((item) => !isVideo(item))), ...eager(pack(items.filter(isVideo)))];
}

/** More sizes than are solved exactly, so that the search has its tables before the first call. */
const WARM_UP_SIZES = 16;

function warmedUp(pack: PackItems, { tokenBudgets }: PackLimits): PackItems {
  const largest = Math.max(...tokenBudgets);
  const sizes = Array.from({ length: WARM_UP_SIZES }, (_, index) => index + 1).filter(
    (size) => size <= largest,
  );
  pack(sizes.map((outputTokens) => ({ spec: { inputSize: outputTokens, outputTokens } })));
  return pack;
}
