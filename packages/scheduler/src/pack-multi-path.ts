/**
 * Packing by cost for items with tokens on several paths: the cheapest way to cut a sorted order into batches, over
 * a few orders. Each path pays for its own total, so the search for one path does not carry over.
 *
 * Not exact, but never costs more than the greedy rule: its batches are one of the cuts of the ascending order.
 */
import {
  type Batch,
  type ChooseBudget,
  canJoin,
  capacityOf,
  closeBatch,
  join,
  openBatch,
  type PackLimits,
  pathTokens,
} from "./batch.js";
import { type BatchCost, cheapestBudget, costOfBatches } from "./batch-cost.js";
import type { Packable } from "./items.js";
import { ascendingByTokens } from "./pack-greedy.js";

/** The arguments have been checked. */
export function packMultiPathByCost<T extends Packable>(
  items: readonly T[],
  limits: PackLimits,
  cost: BatchCost,
): Batch<T>[] {
  const choose: ChooseBudget = (tokens, budgets, path) => cheapestBudget(tokens, budgets, path, cost).budget;
  const paths = [...new Set(items.flatMap(({ spec }) => Object.keys(pathTokens(spec))))];
  const orders = [ascendingByTokens(items), ...paths.map((path) => ascendingOnPath(items, path))];
  const cuts = orders.map((order) => cutBest(order, limits, cost, choose));
  return cuts.reduce((best, cut) => (cut.cost < best.cost ? cut : best)).batches;
}

const ascendingOnPath = <T extends Packable>(items: readonly T[], path: string): T[] =>
  ascendingByTokens(items).sort((a, b) => (pathTokens(a.spec)[path] ?? 0) - (pathTokens(b.spec)[path] ?? 0));

/** The cheapest way to cut the order into consecutive batches that keep the limits. */
function cutBest<T extends Packable>(
  order: readonly T[],
  limits: PackLimits,
  cost: BatchCost,
  choose: ChooseBudget,
): { readonly batches: Batch<T>[]; readonly cost: number } {
  interface Cut {
    readonly cost: number;
    readonly batch?: Batch<T>;
    readonly before?: Cut;
  }
  const capacity = capacityOf(limits);
  const best: (Cut | undefined)[] = [{ cost: 0 }];
  for (let start = 0; start < order.length; start++) {
    const before = best[start]!;
    const open = openBatch<T>();
    for (let end = start; end < order.length; end++) {
      const item = order[end]!;
      if (!canJoin(open, item.spec, capacity)) break;
      join(open, item);
      const batch = closeBatch({ ...open, items: [...open.items] }, limits, choose);
      const total = before.cost + costOfBatches([batch], cost);
      if (total < (best[end + 1]?.cost ?? Number.POSITIVE_INFINITY) || best[end + 1] === undefined) {
        best[end + 1] = { cost: total, batch, before };
      }
    }
  }
  const batches: Batch<T>[] = [];
  for (let cut = best[order.length]; cut?.batch !== undefined; cut = cut.before) batches.push(cut.batch);
  return { batches: batches.reverse(), cost: best[order.length]!.cost };
}
