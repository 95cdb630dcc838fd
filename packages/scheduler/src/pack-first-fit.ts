/**
 * First-fit decreasing: items descending by tokens, each into the first batch with room. Fewer batches than vLLM's
 * rule where large and small items mix, since the small ones fill the gaps that the large ones leave.
 */
import {
  type Batch,
  canJoin,
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
  const batches: OpenBatch[] = [];
  // Batches before this one have no room for another item, whatever its size.
  let firstOpen = 0;
  for (const index of order) {
    const item = items[index]!;
    while (firstOpen < batches.length && batches[firstOpen]!.items.length >= limits.maxItems) firstOpen++;
    let at = firstOpen;
    while (at < batches.length && !canJoin(batches[at]!, item, limits)) at++;
    if (at === batches.length) batches.push(openBatch());
    join(batches[at]!, index, item);
  }
  return batches.map((batch) => closeBatch(batch, limits));
}
