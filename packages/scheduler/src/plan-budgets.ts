/**
 * Plans the budgets to capture for given traffic: the exact set of least expected cost.
 *
 * Only observed sizes need to be considered: a budget between two sizes can be lowered to the smaller one, which holds the
 * same items and costs no more. Dynamic programming over the sizes is therefore exact.
 */
import { VitgraphError } from "@vitgraph/errors";
import { type BatchCost, checkedCost } from "./batch-cost.js";
import { findBudget } from "./budgets.js";
import { histogramOf, type SizeCount } from "./histogram.js";

/** Limits of a plan. */
export interface PlanOptions {
  /** Most graphs to capture. */
  readonly maxGraphs: number;
  /** Cost of running one item. Default: its padded tokens; eager is never used. */
  readonly cost?: BatchCost;
  /** Budgets are rounded up to a multiple of this, for kernels that work in tiles. Default: 1. */
  readonly multipleOf?: number;
  /** The smallest budget allowed. Default: 1. vLLM requires at least as many tokens as items in a batch. */
  readonly smallestBudget?: number;
}

/** The effect of a set of budgets on a histogram. Shares and means are weighted. */
export interface BudgetReport {
  readonly budgets: readonly number[];
  /** Mean cost of an item. */
  readonly expectedCost: number;
  /** Padding as a share of all computed tokens, 0 … 1. */
  readonly padding: number;
  /** Share of items that run eagerly. */
  readonly eagerShare: number;
  readonly byBudget: readonly BudgetUse[];
}

/** The use of one budget by a histogram. */
export interface BudgetUse {
  readonly budget: number;
  /** Share of items that run in it. */
  readonly share: number;
  /** Padding as a share of the tokens computed in it. */
  readonly padding: number;
}

/** The cost if padding is computed like real tokens, without eager. */
export const paddedTokens: BatchCost = (_tokens, budget) => budget ?? Number.POSITIVE_INFINITY;

/**
 * The budgets of least expected cost, if every item runs in the smallest budget that holds it, or eagerly if that is
 * cheaper; of equal costs, the fewest budgets. `cost` must not decrease as the budget grows.
 *
 * Runs in O(distinct sizes² × graphs). Throws `VG_ARGUMENT_INVALID` for bad options and for an empty histogram.
 */
export function planBudgets(
  histogram: Iterable<SizeCount | number>,
  { maxGraphs, cost = paddedTokens, multipleOf = 1, smallestBudget = 1 }: PlanOptions,
): BudgetReport {
  checkCount("maxGraphs", maxGraphs);
  checkCount("multipleOf", multipleOf);
  checkCount("smallestBudget", smallestBudget);
  const sizes = nonEmpty(histogramOf(histogram));
  const candidates = candidateBudgets(sizes, multipleOf, smallestBudget);
  const eager = sizes.map(({ tokens, weight }) => weight * checkedCost(cost(tokens, null), tokens, null));

  // Cost of the sizes above each candidate, which run eagerly if it is the largest budget.
  const eagerAbove = candidates.map(({ sizesUpTo }) => eager.slice(sizesUpTo).reduce((a, b) => a + b, 0));
  const none: Chain = { candidate: -1, cost: 0, graphs: 0 };
  let best = none;
  let bestCost = eager.reduce((a, b) => a + b, 0);

  // chains[j][k]: the cheapest way to serve all sizes up to candidate j with k + 1 budgets, the largest being j.
  const chains: Chain[][] = [];
  for (let j = 0; j < candidates.length; j++) {
    const { budget, sizesUpTo } = candidates[j]!;
    const ending: Chain[] = [];
    let served = 0;
    let size = sizesUpTo;
    for (let i = j - 1; i >= -1; i--) {
      const from = i < 0 ? 0 : candidates[i]!.sizesUpTo;
      while (size > from) {
        size--;
        const { tokens, weight } = sizes[size]!;
        served += Math.min(weight * checkedCost(cost(tokens, budget), tokens, budget), eager[size]!);
      }
      for (const before of i < 0 ? [none] : chains[i]!) {
        const [total, graphs] = [before.cost + served, before.graphs + 1];
        const known = ending[graphs - 1];
        if (graphs > maxGraphs || (known !== undefined && known.cost <= total)) continue;
        ending[graphs - 1] = { candidate: j, cost: total, graphs, before };
      }
    }
    chains.push(ending);
    for (const chain of ending) {
      const total = chain.cost + eagerAbove[j]!;
      if (total > bestCost || (total === bestCost && chain.graphs >= best.graphs)) continue;
      best = chain;
      bestCost = total;
    }
  }
  if (bestCost === Number.POSITIVE_INFINITY)
    return fail("every set of budgets has an infinite cost", "give a cost for eager runs", { maxGraphs });
  const budgets: number[] = [];
  for (let chain = best; chain.before !== undefined; chain = chain.before)
    budgets.push(candidates[chain.candidate]!.budget);
  return reportBudgets(sizes, budgets.reverse(), cost);
}

/** The report of given budgets on a histogram, to compare plans, for example with power-of-two budgets. */
export function reportBudgets(
  histogram: Iterable<SizeCount | number>,
  budgets: readonly number[],
  cost: BatchCost = paddedTokens,
): BudgetReport {
  const sizes = nonEmpty(histogramOf(histogram));
  const ascending = [...new Set(budgets)].sort((a, b) => a - b);
  const uses = new Map(ascending.map((budget) => [budget, { weight: 0, tokens: 0 }]));
  let totalWeight = 0;
  let totalCost = 0;
  let eagerWeight = 0;
  let eagerTokens = 0;
  for (const { tokens, weight } of sizes) {
    const budget = findBudget(tokens, ascending);
    const eagerly = checkedCost(cost(tokens, null), tokens, null);
    const replayed =
      budget === null ? Number.POSITIVE_INFINITY : checkedCost(cost(tokens, budget), tokens, budget);
    totalWeight += weight;
    totalCost += weight * Math.min(eagerly, replayed);
    if (budget === null || eagerly < replayed) {
      eagerWeight += weight;
      eagerTokens += weight * tokens;
    } else {
      const use = uses.get(budget)!;
      use.weight += weight;
      use.tokens += weight * tokens;
    }
  }
  let computed = eagerTokens;
  let real = eagerTokens;
  const byBudget = [...uses].map(([budget, { weight, tokens }]) => {
    computed += weight * budget;
    real += tokens;
    return {
      budget,
      share: weight / totalWeight,
      padding: weight === 0 ? 0 : 1 - tokens / (weight * budget),
    };
  });
  return {
    budgets: ascending,
    expectedCost: totalCost / totalWeight,
    padding: 1 - real / computed,
    eagerShare: eagerWeight / totalWeight,
    byBudget,
  };
}

interface Candidate {
  readonly budget: number;
  /** Number of the ascending sizes that this budget holds. */
  readonly sizesUpTo: number;
}

/** Budgets that serve all sizes up to its largest one. */
interface Chain {
  /** Index of the largest budget; −1 for none. */
  readonly candidate: number;
  readonly cost: number;
  readonly graphs: number;
  readonly before?: Chain;
}

function candidateBudgets(sizes: readonly SizeCount[], multipleOf: number, smallest: number): Candidate[] {
  const candidates: Candidate[] = [];
  sizes.forEach(({ tokens }, index) => {
    const budget = Math.ceil(Math.max(tokens, smallest) / multipleOf) * multipleOf;
    if (candidates.at(-1)?.budget === budget) candidates.pop();
    candidates.push({ budget, sizesUpTo: index + 1 });
  });
  return candidates;
}

function nonEmpty(sizes: SizeCount[]): SizeCount[] {
  if (sizes.length > 0) return sizes;
  return fail("the histogram has no sizes", "give at least one size with a weight above 0", {});
}

function checkCount(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 1) return;
  fail(`${name} ${value} is not a positive integer`, "give a whole number of at least 1", { name, value });
}

function fail(fact: string, remedy: string, details: Record<string, unknown>): never {
  throw new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy, details });
}
