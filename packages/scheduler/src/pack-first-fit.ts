/**
 * First-fit decreasing: items descending by tokens, each into the first batch with room. Fewer batches than vLLM's
 * rule where large and small items mix, since the small ones fill the gaps that the large ones leave.
 */
import {
  type Batch,
  canJoin,
  capacityOf,
  checkPackArguments,
  closeBatch,
  join,
  type OpenBatch,
  openBatch,
  type PackLimits,
} from "./batch.js";
import type { ItemSpec } from "./items.js";

/**
 * Batches in the order in which they were opened: the one with the largest item first. Throws like
 * `packGreedyAscending`.
 */
export function packFirstFitDecreasing(items: readonly ItemSpec[], limits: PackLimits): Batch[] {
  checkPackArguments(items, limits);
  const order = items.map((_, index) => index);
  order.sort((a, b) => items[b]!.outputTokens - items[a]!.outputTokens);
  const capacity = capacityOf(limits);
  const batches: OpenBatch[] = [];
  // Looked at before the batch itself, which takes longer; of no use where a batch has a total for each path.
  const hasPaths = items.some((item) => item.pathOutputTokens !== undefined);
  const tokensLeft: number[] = [];
  // Batches before this one are full of items.
  let firstOpen = 0;
  for (const index of order) {
    const item = items[index]!;
    while (firstOpen < batches.length && batches[firstOpen]!.items.length >= limits.maxItems) firstOpen++;
    let at = firstOpen;
    while (at < batches.length) {
      if (tokensLeft[at]! >= item.outputTokens && canJoin(batches[at]!, item, capacity)) break;
      at++;
    }
    if (at === batches.length) batches.push(openBatch());
    join(batches[at]!, index, item);
    tokensLeft[at] = hasPaths ? Number.POSITIVE_INFINITY : capacity.tokens - batches[at]!.outputTokens;
  }
  return batches.map((batch) => closeBatch(batch, limits));
}
