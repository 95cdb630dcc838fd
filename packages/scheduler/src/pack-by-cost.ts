/**
 * Packing by measured cost: the batches of least total cost, within the limits on items, frames and tokens.
 *
 * Exact for few or similar items (a dozen of any sizes, or dozens of a few sizes), otherwise a bounded search. Never
 * costs more than vLLM's greedy rule, which is one of the starting points.
 */
import {
  type Batch,
  type ChooseBudget,
  checkPackArguments,
  checkPackLimits,
  closeBatch,
  join,
  largestBudget,
  openBatch,
  type PackLimits,
} from "./batch.js";
import { type BatchCost, cheapestBudget } from "./batch-cost.js";
import { budgetTokensOf, type Packable } from "./items.js";
import { ascendingByTokens } from "./pack-greedy.js";
import { type Partition, type PartitionProblem, partitionCost } from "./partition.js";
import { annealPartition, type Landscape, landscapeOf, lowerBound } from "./partition-anneal.js";
import { exactPartition } from "./partition-exact.js";
import { fewestGroups, seedPartitions } from "./partition-seeds.js";
import { priceList } from "./price-list.js";

/**
 * Packs one set of items. For many sets under the same limits and costs use {@link createCostPacker}, which prepares
 * once. Batches come ascending by tokens, the items of each in the order given.
 *
 * A batch's budget is the cheapest that holds it, not necessarily the smallest, or null if eager is cheaper.
 * Throws like `packGreedyAscending`, and `VG_ARGUMENT_INVALID` for a cost that is negative or not a number.
 */
export function packByCost<T extends Packable>(
  items: readonly T[],
  limits: PackLimits,
  cost: BatchCost,
): Batch<T>[] {
  return createCostPacker(limits, cost)(items);
}

/** A packer for these limits and costs. It calls `cost` once for each number of tokens, and caches the result. */
export function createCostPacker(
  limits: PackLimits,
  cost: BatchCost,
): <T extends Packable>(items: readonly T[]) => Batch<T>[] {
  checkPackLimits(limits);
  const budgets = limits.tokenBudgets;
  const maxTokens = largestBudget(budgets);
  const maxFrames = limits.maxFrames ?? Number.POSITIVE_INFINITY;
  const choose: ChooseBudget = (tokens, candidates) => cheapestBudget(tokens, candidates, cost).budget;
  const { price, all } = priceList(budgets, cost);
  let landscape: Landscape | undefined;

  const solve = (problem: PartitionProblem): Partition => {
    const exact = exactPartition(problem);
    if (exact !== null) return exact;
    landscape ??= landscapeOf(all(), budgets);
    const best = cheapest(problem, seedPartitions(problem, budgets));
    const total = problem.tokens.reduce((sum, tokens) => sum + tokens, 0);
    const bound = lowerBound(landscape, total, fewestGroups(problem)) * (1 + 1e-12);
    if (partitionCost(problem, best) <= bound) return best;
    return annealPartition(problem, landscape, best, bound);
  };

  return <T extends Packable>(items: readonly T[]) => {
    checkPackArguments(items, limits);
    const fits = ({ spec }: Packable): boolean =>
      budgetTokensOf(spec) <= maxTokens && (spec.frames ?? 1) <= maxFrames;
    const ascending = ascendingByTokens(items);
    // The solvers need the largest first; reversed, the order is the greedy rule's, ties included.
    const descending = ascending.filter(fits).reverse();
    const partition = solve({
      tokens: Int32Array.from(descending, ({ spec }) => budgetTokensOf(spec)),
      frames: Int32Array.from(descending, ({ spec }) =>
        limits.maxFrames === undefined ? 0 : (spec.frames ?? 1),
      ),
      maxTokens,
      maxItems: limits.maxItems,
      maxFrames,
      price,
    });
    const groups = partition.map((group) => group.map((position) => descending[position]!));
    for (const item of ascending) if (!fits(item)) groups.push([item]);
    const given = new Map(items.map((item, index) => [item, index]));
    const inGivenOrder = (a: T, b: T): number => given.get(a)! - given.get(b)!;
    const batches = groups.map((group) => {
      const batch = openBatch<T>();
      for (const item of group.sort(inGivenOrder)) join(batch, item);
      return closeBatch(batch, limits, choose);
    });
    return batches.sort((a, b) => a.tokens - b.tokens || inGivenOrder(a.items[0]!, b.items[0]!));
  };
}

function cheapest(problem: PartitionProblem, partitions: Iterable<Partition>): Partition {
  let best: Partition = [];
  let least = Number.POSITIVE_INFINITY;
  for (const partition of partitions) {
    const cost = partitionCost(problem, partition);
    if (cost < least) {
      best = partition;
      least = cost;
    }
  }
  return best;
}
