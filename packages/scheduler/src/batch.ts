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

/** The path of an item without named paths, as vLLM calls it. */
export const DEFAULT_PATH = "default";

export interface PackLimits {
  /** Tokens for which a graph exists. The largest is also the most that a batch of several items may have. */
  readonly tokenBudgets: readonly number[];
  /** Most items in a batch: vLLM's `encoder_cudagraph_max_vision_items_per_batch`. */
  readonly maxItems: number;
  /** Most frames in a batch: vLLM's `encoder_cudagraph_max_frames_per_batch`. No limit if left out. */
  readonly maxFrames?: number;
  /** Budgets per path, if they differ from `tokenBudgets`. A budget of 0 is allowed, and never needed. */
  readonly pathTokenBudgets?: Readonly<Record<string, readonly number[]>>;
}

export interface PathLoad {
  readonly tokens: number;
  /** The budget replayed for this path; null means that it runs eagerly, 0 that it has no tokens and does not run. */
  readonly budget: number | null;
}

export interface Batch<T> {
  /** In batch order. */
  readonly items: readonly T[];
  readonly inputSize: number;
  /** Tokens of a budget. */
  readonly tokens: number;
  readonly frames: number;
  /** The budget replayed, null for eager. With several paths: the largest one replayed, null if every path is eager. */
  readonly budget: number | null;
  /** Each path's own tokens and budget; present if an item of the batch names paths. */
  readonly paths?: Readonly<Record<string, PathLoad>>;
}

/** A rule that turns items into batches. */
export type Packer = <T extends Packable>(items: readonly T[], limits: PackLimits) => Batch<T>[];

/** The item's tokens by path. */
export function pathTokens(item: ItemSpec): Readonly<Record<string, number>> {
  return item.pathOutputTokens ?? { [DEFAULT_PATH]: budgetTokensOf(item) };
}

/** The budgets that serve a path. */
export function pathBudgets(path: string, limits: PackLimits): readonly number[] {
  return limits.pathTokenBudgets?.[path] ?? limits.tokenBudgets;
}

/** A batch that is being filled. */
export interface OpenBatch<T> {
  readonly items: T[];
  inputSize: number;
  tokens: number;
  frames: number;
  /** Totals by path; undefined as long as every item has the default path only. */
  paths: Record<string, number> | undefined;
}

export function openBatch<T>(): OpenBatch<T> {
  return { items: [], inputSize: 0, tokens: 0, frames: 0, paths: undefined };
}

/** What a batch of several items may hold: the limits, worked out once for many items. */
export interface Capacity {
  readonly items: number;
  readonly frames: number;
  /** Tokens on the default path. */
  readonly tokens: number;
  readonly tokensOn: (path: string) => number;
}

export function capacityOf(limits: PackLimits): Capacity {
  const tokensOn = (path: string): number => largestBudget(pathBudgets(path, limits));
  return {
    items: limits.maxItems,
    frames: limits.maxFrames ?? Number.POSITIVE_INFINITY,
    tokens: tokensOn(DEFAULT_PATH),
    tokensOn,
  };
}

/** True if `item` can join `batch`. An empty batch takes every item. */
export function canJoin<T>(batch: OpenBatch<T>, item: ItemSpec, capacity: Capacity): boolean {
  if (batch.items.length === 0) return true;
  if (batch.items.length >= capacity.items) return false;
  if (batch.frames + (item.frames ?? 1) > capacity.frames) return false;
  if (batch.paths === undefined && item.pathOutputTokens === undefined) {
    return batch.tokens + budgetTokensOf(item) <= capacity.tokens;
  }
  const totals = batch.paths ?? { [DEFAULT_PATH]: batch.tokens };
  return Object.entries(pathTokens(item)).every(
    ([path, tokens]) => (totals[path] ?? 0) + tokens <= capacity.tokensOn(path),
  );
}

/** Puts an item into the batch; the caller has asked {@link canJoin}. */
export function join<T extends Packable>(batch: OpenBatch<T>, packed: T): void {
  const item = packed.spec;
  if (item.pathOutputTokens !== undefined && batch.paths === undefined) {
    batch.paths = batch.items.length === 0 ? {} : { [DEFAULT_PATH]: batch.tokens };
  }
  if (batch.paths !== undefined) {
    for (const [path, tokens] of Object.entries(pathTokens(item))) {
      batch.paths[path] = (batch.paths[path] ?? 0) + tokens;
    }
  }
  batch.items.push(packed);
  batch.inputSize += item.inputSize;
  batch.tokens += budgetTokensOf(item);
  batch.frames += item.frames ?? 1;
}

/** How a path's tokens get their budget; null for eager. */
export type ChooseBudget = (tokens: number, budgets: readonly number[], path: string) => number | null;

/** The finished batch, each path in the budget that `choose` gives it: the smallest that fits, if left out. */
export function closeBatch<T>(
  batch: OpenBatch<T>,
  limits: PackLimits,
  choose: ChooseBudget = findBudget,
): Batch<T> {
  const { items, inputSize, tokens, frames } = batch;
  const tooManyFrames = limits.maxFrames !== undefined && frames > limits.maxFrames;
  const budgetOf = (path: string, tokens: number): number | null =>
    tooManyFrames ? null : choose(tokens, pathBudgets(path, limits), path);
  if (batch.paths === undefined) {
    return { items, inputSize, tokens, frames, budget: budgetOf(DEFAULT_PATH, tokens) };
  }
  const paths: Record<string, PathLoad> = {};
  let budget: number | null = null;
  for (const [path, own] of Object.entries(batch.paths)) {
    const load = { tokens: own, budget: own === 0 ? 0 : budgetOf(path, own) };
    paths[path] = load;
    if (load.budget !== null && load.budget > (budget ?? 0)) budget = load.budget;
  }
  return { items, inputSize, tokens, frames, budget, paths };
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
  const { tokenBudgets, maxItems, maxFrames, pathTokenBudgets = {} } = limits;
  checkLimit("maxItems", maxItems);
  if (maxFrames !== undefined) checkLimit("maxFrames", maxFrames);
  for (const budget of tokenBudgets) checkLimit("token budget", budget);
  for (const [path, budgets] of Object.entries(pathTokenBudgets)) {
    for (const budget of budgets) if (budget !== 0) checkLimit(`token budget of path "${path}"`, budget);
  }
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
  if (item.pathOutputTokens === undefined) return;
  for (const [path, tokens] of Object.entries(item.pathOutputTokens)) {
    check(`pathOutputTokens.${path}`, tokens, 0);
  }
}

/** The most tokens that a batch of several items may have on a path. */
export function largestBudget(budgets: readonly number[]): number {
  let max = 0;
  for (const budget of budgets) if (budget > max) max = budget;
  return max;
}
