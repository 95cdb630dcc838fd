/** Random batches for the benches. */
import {
  type BatchCost,
  commonSizes,
  type Packable,
  type PackLimits,
  planBudgets,
  powerOfTwoBudgets,
} from "../src/index.js";

const sizes = commonSizes();
const totalWeight = sizes.reduce((sum, { weight }) => sum + weight, 0);

export function commonItems(count: number, random: () => number): Packable[] {
  return itemsOf(count, () => {
    let left = random() * totalWeight;
    const drawn = sizes.find(({ weight }) => {
      left -= weight;
      return left < 0;
    });
    return (drawn ?? sizes.at(-1)!).tokens;
  });
}

const itemsOf = (count: number, size: () => number): Packable[] =>
  Array.from({ length: count }, () => {
    const outputTokens = size();
    return { spec: { inputSize: 4 * outputTokens, outputTokens } };
  });

export interface Workload {
  readonly name: string;
  readonly limits: PackLimits;
  readonly cost: BatchCost;
  readonly items: (count: number, random: () => number) => Packable[];
}

const ITEMS: Readonly<Record<string, Workload["items"]>> = {
  "common grids": commonItems,
  "49 to 4096 tokens": (count, random) => itemsOf(count, () => 49 + Math.floor(random() * 4048)),
  "16 to 8192, logarithmic": (count, random) => itemsOf(count, () => Math.floor(2 ** (4 + 9 * random()))),
  "five sizes": (count, random) => itemsOf(count, () => [49, 110, 196, 441, 992][Math.floor(random() * 5)]!),
};

const BUDGETS: Readonly<Record<string, readonly number[]>> = {
  "to 8192": powerOfTwoBudgets(64, 8192),
  "to 16384": powerOfTwoBudgets(64, 16_384),
  planned: planBudgets(sizes, { maxGraphs: 9 }).budgets,
};

/** In tokens' worth of time. */
const COSTS: Readonly<Record<string, BatchCost>> = {
  "padding computed, launch 100": (tokens, budget) => (budget === null ? 1000 + tokens : 100 + budget),
  "padding computed, launch 500": (tokens, budget) => (budget === null ? 2000 + tokens : 500 + budget),
  "padding free, launch 300": (tokens, budget) => (budget === null ? 1000 + tokens : 300 + tokens),
  "eager close by": (tokens, budget) => (budget === null ? 400 + tokens : 100 + budget),
};

export const workloads: readonly Workload[] = Object.entries(ITEMS).flatMap(([itemsName, items]) =>
  Object.entries(BUDGETS).flatMap(([budgetsName, tokenBudgets]) =>
    Object.entries(COSTS).flatMap(([costName, cost]) =>
      [8, 16, 64].map((maxItems) => ({
        name: `${itemsName}; budgets ${budgetsName}; ${costName}; ${maxItems} in a batch`,
        limits: { tokenBudgets, maxItems },
        cost,
        items,
      })),
    ),
  ),
);
