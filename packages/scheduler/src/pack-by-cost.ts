/**
 * Packing by measured cost: the batches of least total cost, within the limits on items, frames and tokens.
 *
 * Exact where the items are few or alike (a dozen of any sizes, or dozens of a few sizes); a bounded search
 * otherwise. Never dearer than vLLM's greedy rule, which is one of the starting points.
 */
import {
  type Batch,
  type ChooseBudget,
  checkPackArguments,
  checkPackLimits,
  closeBatch,
  DEFAULT_PATH,
  join,
  largestBudget,
  openBatch,
  type PackLimits,
  pathBudgets,
} from "./batch.js";
import { type BatchCost, cheapestBudget } from "./batch-cost.js";
import type { ItemSpec } from "./items.js";
import { ascendingByTokens } from "./pack-greedy.js";
import { packMultiPathByCost } from "./pack-multi-path.js";
import { type Partition, type PartitionProblem, partitionCost } from "./partition.js";
import { annealPartition, type Landscape, landscapeOf, lowerBound } from "./partition-anneal.js";
import { exactPartition } from "./partition-exact.js";
import { fewestGroups, seedPartitions } from "./partition-seeds.js";
import { priceList } from "./price-list.js";

/**
 * Packs one set of items. For many sets under the same limits and costs use {@link createCostPacker}, which prepares
 * once. Batches come ascending by tokens, the items of each in the order given.
 *
 * A batch's budget is the cheapest that holds it, which need not be the smallest, or null where eager is cheaper.
 * Throws like `packGreedyAscending`, and `VG_ARGUMENT_INVALID` for a cost that is negative or not a number.
 */
export function packByCost(items: readonly ItemSpec[], limits: PackLimits, cost: BatchCost): Batch[] {
  return createCostPacker(limits, cost)(items);
}

/** A packer for these limits and costs. It asks `cost` once for each number of tokens, and remembers the answer. */
export function createCostPacker(
  limits: PackLimits,
  cost: BatchCost,
): (items: readonly ItemSpec[]) => Batch[] {
  checkPackLimits(limits);
  const budgets = pathBudgets(DEFAULT_PATH, limits);
  const maxTokens = largestBudget(budgets);
  const maxFrames = limits.maxFrames ?? Number.POSITIVE_INFINITY;
  const choose: ChooseBudget = (tokens, candidates, path) =>
    cheapestBudget(tokens, candidates, path, cost).budget;
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

  return (items) => {
    checkPackArguments(items, limits);
    if (items.some((item) => item.pathOutputTokens !== undefined)) {
      return packMultiPathByCost(items, limits, cost);
    }
    const fits = (index: number): boolean =>
      items[index]!.outputTokens <= maxTokens && (items[index]!.frames ?? 1) <= maxFrames;
    const ascending = ascendingByTokens(items);
    // The solvers want the largest first; reversed, their order is the one of the greedy rule, ties included.
    const order = ascending.filter(fits).reverse();
    const partition = solve({
      tokens: Int32Array.from(order, (index) => items[index]!.outputTokens),
      frames: Int32Array.from(order, (index) =>
        limits.maxFrames === undefined ? 0 : (items[index]!.frames ?? 1),
      ),
      maxTokens,
      maxItems: limits.maxItems,
      maxFrames,
      price,
    });
    const groups = partition.map((group) => group.map((position) => order[position]!).sort((a, b) => a - b));
    for (const index of ascending) if (!fits(index)) groups.push([index]);
    const batches = groups.map((group) => {
      const batch = openBatch();
      for (const index of group) join(batch, index, items[index]!);
      return closeBatch(batch, limits, choose);
    });
    return batches.sort((a, b) => a.outputTokens - b.outputTokens || a.items[0]! - b.items[0]!);
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
