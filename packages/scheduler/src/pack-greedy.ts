/**
 * vLLM's packing rule, exactly: items ascending by tokens (equal ones in the order given), a new batch when the next
 * item would exceed the items or the largest budget, then the smallest budget that fits. The only addition is
 * `maxFrames`, a setting that vLLM has but never checks when it packs.
 */
import {
  type Batch,
  canJoin,
  capacityOf,
  checkPackArguments,
  closeBatch,
  join,
  openBatch,
  type PackLimits,
} from "./batch.js";
import { budgetTokensOf, type Packable } from "./items.js";

/**
 * Batches in ascending order of their items' tokens. Throws `VG_ARGUMENT_INVALID` or `VG_ITEM_INVALID` for values
 * that are not whole numbers.
 */
export function packGreedyAscending<T extends Packable>(items: readonly T[], limits: PackLimits): Batch<T>[] {
  checkPackArguments(items, limits);
  const capacity = capacityOf(limits);
  const batches: Batch<T>[] = [];
  let open = openBatch<T>();
  for (const item of ascendingByTokens(items)) {
    if (!canJoin(open, item.spec, capacity)) {
      batches.push(closeBatch(open, limits));
      open = openBatch();
    }
    join(open, item);
  }
  if (open.items.length > 0) batches.push(closeBatch(open, limits));
  return batches;
}

/** The items ascending by tokens; equal ones keep their order. */
export function ascendingByTokens<T extends Packable>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => budgetTokensOf(a.spec) - budgetTokensOf(b.spec));
}
