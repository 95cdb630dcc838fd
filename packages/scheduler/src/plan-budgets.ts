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
  /** Bytes that each graph takes: the same for all, or by budget. Default: 0. */
  readonly bytesPerGraph?: number | ((budget: number) => number);
  /** Most bytes for all graphs together. Default: no limit. */
  readonly memoryLimit?: number;
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

export interface BudgetUse {
  readonly budget: number;
  /** Share of items that run in it. */
  readonly share: number;
  /** Padding as a share of the tokens computed in it. */
  readonly padding: number;
}

export interface BudgetPlan extends BudgetReport {
  /** Bytes for all graphs. */
  readonly bytes: number;
}

/** The cost if padding is computed like real tokens, without eager. */
export const paddedTokens: BatchCost = (_tokens, budget) => budget ?? Number.POSITIVE_INFINITY;

/**
 * The budgets of least expected cost, if every item runs in the smallest budget that holds it, or eagerly if that is
 * cheaper; of equal costs, the fewest budgets. `cost` must not decrease as the budget grows.
 *
 * Runs in O(distinct sizes² × graphs). Throws `VG_ARGUMENT_INVALID` for bad options, for an empty histogram, and if the
 * memory limit allows no plan.
 */
export function planBudgets(histogram: Iterable<SizeCount | number>, options: PlanOptions): BudgetPlan {
  const { maxGraphs, memoryLimit = Number.POSITIVE_INFINITY, cost = paddedTokens } = options;
  const { multipleOf = 1, smallestBudget = 1 } = options;
  checkCount("maxGraphs", maxGraphs);
  checkCount("multipleOf", multipleOf);
  checkCount("smallestBudget", smallestBudget);
  if (!(memoryLimit >= 0))
    fail(`memoryLimit ${memoryLimit} is not a number of bytes`, "give at least 0", { memoryLimit });
  const sizes = nonEmpty(histogramOf(histogram));
  const candidates = candidateBudgets(sizes, multipleOf, smallestBudget);
  const bytesOf = bytesFunction(options.bytesPerGraph ?? 0);
  const best = cheapestChain(sizes, candidates, { cost, bytesOf, maxGraphs, memoryLimit });
  if (best === undefined) {
    const largest = candidates.at(-1)!.budget;
    const needed = bytesOf(largest);
    return fail(
      `no set of budgets fits into ${memoryLimit} bytes: one graph for ${largest} tokens takes ${needed}`,
      "raise the memory limit, or give a cost for eager runs",
      { memoryLimit, largest, needed },
    );
  }
  const budgets: number[] = [];
  for (let chain: Chain | undefined = best; chain !== undefined; chain = chain.before) {
    if (chain.candidate >= 0) budgets.push(candidates[chain.candidate]!.budget);
  }
  return { ...reportBudgets(sizes, budgets.reverse(), cost), bytes: best.bytes };
}

interface ChainLimits {
  readonly cost: BatchCost;
  readonly bytesOf: (budget: number) => number;
  readonly maxGraphs: number;
  readonly memoryLimit: number;
}

/** The budgets of least cost, of which there may be none. Undefined if all chains exceed the limits or cost Infinity. */
function cheapestChain(
  sizes: readonly SizeCount[],
  candidates: readonly Candidate[],
  { cost, bytesOf, maxGraphs, memoryLimit }: ChainLimits,
): Chain | undefined {
  const eager = sizes.map(({ tokens, weight }) => weight * checkedCost(cost(tokens, null), tokens, null));
  const eagerFrom = (size: number) => eager.slice(size).reduce((a, b) => a + b, 0);
  let best: { readonly chain: Chain; readonly total: number } | undefined;
  const consider = (chain: Chain, total: number): void => {
    if (chain.bytes > memoryLimit || total === Number.POSITIVE_INFINITY) return;
    if (
      best === undefined ||
      total < best.total ||
      (total === best.total && chain.graphs < best.chain.graphs)
    )
      best = { chain, total };
  };
  const none: Chain = { candidate: -1, cost: 0, bytes: 0, graphs: 0 };
  consider(none, eagerFrom(0));

  // chains[j][k]: the Pareto-optimal ways, by cost and bytes, to serve all sizes up to candidate j with k + 1 budgets,
  // the largest being j. If all graphs have one size, each has a single entry.
  const chains: Chain[][][] = [];
  for (const [j, { budget, sizesUpTo }] of candidates.entries()) {
    const bytes = bytesOf(budget);
    const ending: Chain[][] = Array.from({ length: Math.min(maxGraphs, j + 1) }, () => []);
    let served = 0;
    let size = sizesUpTo;
    for (let i = j - 1; i >= -1; i--) {
      const from = i < 0 ? 0 : candidates[i]!.sizesUpTo;
      while (size > from) {
        size--;
        const { tokens, weight } = sizes[size]!;
        served += Math.min(weight * checkedCost(cost(tokens, budget), tokens, budget), eager[size]!);
      }
      const befores = i < 0 ? [[none]] : chains[i]!;
      for (const [k, list] of befores.entries()) {
        const graphs = i < 0 ? 1 : k + 2;
        if (graphs > maxGraphs) break;
        for (const before of list) {
          const total = { cost: before.cost + served, bytes: before.bytes + bytes };
          if (total.bytes > memoryLimit || isBeaten(ending[graphs - 1]!, total)) continue;
          addUnbeaten(ending[graphs - 1]!, { candidate: j, ...total, graphs, before });
        }
      }
    }
    // Larger sizes run eagerly if this is the largest budget.
    for (const chain of ending.flat()) consider(chain, chain.cost + eagerFrom(sizesUpTo));
    chains.push(ending);
  }
  return best?.chain;
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

interface Chain extends Total {
  readonly candidate: number;
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

interface Total {
  readonly cost: number;
  readonly bytes: number;
}

/** True if another is at most as expensive and as large. */
function isBeaten(list: readonly Total[], { cost, bytes }: Total): boolean {
  for (const other of list) if (other.cost <= cost && other.bytes <= bytes) return true;
  return false;
}

/** Adds a chain that is not dominated, and drops those that it dominates. */
function addUnbeaten(list: Chain[], chain: Chain): void {
  let kept = 0;
  for (const other of list) {
    if (other.cost < chain.cost || other.bytes < chain.bytes) list[kept++] = other;
  }
  list.length = kept;
  list.push(chain);
}

function bytesFunction(bytesPerGraph: number | ((budget: number) => number)): (budget: number) => number {
  const bytesOf = typeof bytesPerGraph === "number" ? () => bytesPerGraph : bytesPerGraph;
  return (budget) => {
    const bytes = bytesOf(budget);
    if (bytes >= 0) return bytes;
    return fail(`a graph for ${budget} tokens takes ${bytes} bytes`, "give at least 0", { budget, bytes });
  };
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
