/**
 * A batch: items that run together, and the budget of the graph that is replayed for them. Every packing rule builds
 * its batches here, so that "fits" is defined once.
 *
 * An item that is too large for every budget, or has more frames than a graph has room for, runs alone and eagerly
 * (`budget: null`). So packing never refuses or loses an item.
 */
import { VitgraphError } from "@vitgraph/errors";
import { findBudget } from "./budgets.js";
import { budgetTokensOf, type ItemSpec, type Packable } from "./items.js";

/** Limits of a batch. An item above one runs alone and eagerly. */
export interface PackLimits {
  /** Tokens for which a graph exists. The largest is also the most that a batch of several items may have. */
  readonly tokenBudgets: readonly number[];
  /** Most items in a batch: vLLM's `encoder_cudagraph_max_vision_items_per_batch`. */
  readonly maxItems: number;
  /** Most frames in a batch: vLLM's `encoder_cudagraph_max_frames_per_batch`. Default: no limit. */
  readonly maxFrames?: number;
}

/** Items that run together, and their budget. */
export interface Batch<T> {
  /** In batch order. */
  readonly items: readonly T[];
  readonly inputSize: number;
  /** Tokens that the items take of a budget. */
  readonly tokens: number;
  readonly frames: number;
  /** Budget of the replayed graph; null if the batch runs eagerly. */
  readonly budget: number | null;
}

/** A rule that turns items into batches. */
export type Packer = <T extends Packable>(items: readonly T[], limits: PackLimits) => Batch<T>[];

/** A batch that is being filled. */
export interface OpenBatch<T> {
  readonly items: T[];
  inputSize: number;
  tokens: number;
  frames: number;
}

export function openBatch<T>(): OpenBatch<T> {
  return { items: [], inputSize: 0, tokens: 0, frames: 0 };
}

/** Limits of a batch of several items, computed once for many items. */
export interface Capacity {
  readonly items: number;
  readonly frames: number;
  readonly tokens: number;
}

export function capacityOf(limits: PackLimits): Capacity {
  return {
    items: limits.maxItems,
    frames: limits.maxFrames ?? Number.POSITIVE_INFINITY,
    tokens: largestBudget(limits.tokenBudgets),
  };
}

/** True if `item` can join `batch`. An empty batch takes every item. */
export function canJoin<T>(batch: OpenBatch<T>, item: ItemSpec, capacity: Capacity): boolean {
  if (batch.items.length === 0) return true;
  if (batch.items.length >= capacity.items) return false;
  if (batch.frames + (item.frames ?? 1) > capacity.frames) return false;
  return batch.tokens + budgetTokensOf(item) <= capacity.tokens;
}

/** Puts an item into the batch; the caller has asked {@link canJoin}. */
export function join<T extends Packable>(batch: OpenBatch<T>, packed: T): void {
  const item = packed.spec;
  batch.items.push(packed);
  batch.inputSize += item.inputSize;
  batch.tokens += budgetTokensOf(item);
  batch.frames += item.frames ?? 1;
}

/** Chooses the budget for a batch's tokens; null for eager. */
export type ChooseBudget = (tokens: number, budgets: readonly number[]) => number | null;

/** The finished batch with the budget of `choose`. Default: the smallest that fits. */
export function closeBatch<T>(
  batch: OpenBatch<T>,
  limits: PackLimits,
  choose: ChooseBudget = findBudget,
): Batch<T> {
  const { items, inputSize, tokens, frames } = batch;
  const tooManyFrames = limits.maxFrames !== undefined && frames > limits.maxFrames;
  const budget = tooManyFrames ? null : choose(tokens, limits.tokenBudgets);
  return { items, inputSize, tokens, frames, budget };
}

/**
 * Throws `VG_ARGUMENT_INVALID` for invalid limits and `VG_ITEM_INVALID` for items without proper numbers. Packing would
 * otherwise continue with NaN, which compares false with everything.
 */
export function checkPackArguments(items: readonly Packable[], limits: PackLimits): void {
  checkPackLimits(limits);
  items.forEach(({ spec }, index) => {
    validateSpec(spec, index);
  });
}

export function checkPackLimits(limits: PackLimits): void {
  const { tokenBudgets, maxItems, maxFrames } = limits;
  checkLimit("maxItems", maxItems);
  if (maxFrames !== undefined) checkLimit("maxFrames", maxFrames);
  for (const budget of tokenBudgets) checkLimit("token budget", budget);
}

function checkLimit(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} ${value} is not a positive integer`, {
    remedy: "give a whole number of at least 1",
    details: { name, value },
  });
}

function validateSpec(item: ItemSpec, index: number): void {
  const check = (field: string, value: number, least: number): void => {
    if (Number.isSafeInteger(value) && value >= least) return;
    throw new VitgraphError("VG_ITEM_INVALID", `item ${index} has ${field} ${value}`, {
      remedy: `give a whole number of at least ${least}`,
      details: { index, field, value },
    });
  };
  check("inputSize", item.inputSize, 0);
  check("outputTokens", item.outputTokens, 1);
  check("budgetTokens", budgetTokensOf(item), 1);
  check("frames", item.frames ?? 1, 1);
}

/** The most tokens that a batch of several items may have. */
export function largestBudget(budgets: readonly number[]): number {
  let max = 0;
  for (const budget of budgets) if (budget > max) max = budget;
  return max;
}
