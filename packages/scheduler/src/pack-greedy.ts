/**
 * vLLM's packing rule, exactly: items ascending by tokens (equal ones in the order given), a new batch when the next
 * item would exceed the items or the largest budget, then the smallest budget that fits.
 * The one addition is `maxFrames`, which vLLM has as a setting but never checks when it packs.
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
import type { ItemSpec } from "./items.js";

/**
 * Batches in ascending order of their items' tokens. Throws `VG_ARGUMENT_INVALID` or `VG_ITEM_INVALID` for values
 * that are not whole numbers.
 */
export function packGreedyAscending(items: readonly ItemSpec[], limits: PackLimits): Batch[] {
  checkPackArguments(items, limits);
  const capacity = capacityOf(limits);
  const batches: Batch[] = [];
  let open = openBatch();
  for (const index of ascendingByTokens(items)) {
    const item = items[index]!;
    if (!canJoin(open, item, capacity)) {
      batches.push(closeBatch(open, limits));
      open = openBatch();
    }
    join(open, index, item);
  }
  if (open.items.length > 0) batches.push(closeBatch(open, limits));
  return batches;
}

/** Indices of the items, ascending by tokens; equal ones keep their order. */
export function ascendingByTokens(items: readonly ItemSpec[]): number[] {
  return items.map((_, index) => index).sort((a, b) => items[a]!.outputTokens - items[b]!.outputTokens);
}
