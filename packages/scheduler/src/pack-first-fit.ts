/**
 * First-fit decreasing: items descending by tokens, each into the first batch with room. Fewer batches than vLLM's rule
 * for mixed sizes, since small items fill the gaps left by large ones.
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
import { budgetTokensOf, type Packable } from "./items.js";

/**
 * Batches in the order in which they were opened: the one with the largest item first. Throws like
 * `packGreedyAscending`.
 */
export function packFirstFitDecreasing<T extends Packable>(
  items: readonly T[],
  limits: PackLimits,
): Batch<T>[] {
  checkPackArguments(items, limits);
  const descending = [...items].sort((a, b) => budgetTokensOf(b.spec) - budgetTokensOf(a.spec));
  const capacity = capacityOf(limits);
  const batches: OpenBatch<T>[] = [];
  // Tokens left in each batch: scanning this array is three times as fast as scanning the batches.
  const tokensLeft: number[] = [];
  // Batches before this one have maxItems items.
  let firstOpen = 0;
  for (const item of descending) {
    const { spec } = item;
    while (firstOpen < batches.length && batches[firstOpen]!.items.length >= limits.maxItems) firstOpen++;
    let at = firstOpen;
    while (at < batches.length) {
      if (tokensLeft[at]! >= budgetTokensOf(spec) && canJoin(batches[at]!, spec, capacity)) break;
      at++;
    }
    if (at === batches.length) batches.push(openBatch());
    join(batches[at]!, item);
    tokensLeft[at] = capacity.tokens - batches[at]!.tokens;
  }
  return batches.map((batch) => closeBatch(batch, limits));
}
