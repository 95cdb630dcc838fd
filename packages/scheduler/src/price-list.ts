/** The least price of each number of tokens over all budgets and eager, cached for millions of lookups. */
import { largestBudget } from "./batch.js";
import { type BatchCost, checkedCost } from "./batch-cost.js";
import { FORBIDDEN } from "./partition.js";

export interface PriceList {
  /** Price for 1 ≤ tokens ≤ the largest budget; calls the cost function the first time. */
  readonly price: (tokens: number) => number;
  /** All prices, by tokens; the price of 0 tokens is 0. Faster than one call for each. */
  readonly all: () => Float64Array;
}

export function priceList(budgets: readonly number[], cost: BatchCost): PriceList {
  const ascending = [...new Set(budgets)].sort((a, b) => a - b);
  const prices = new Float64Array(largestBudget(budgets) + 1).fill(Number.NaN);
  // A local copy: without bundling, an imported binding is looked up on each access.
  const ceiling = FORBIDDEN;
  const ask = (tokens: number, smallestFitting: number): number => {
    const eager = cost(tokens, null);
    let least = eager >= 0 ? eager : checkedCost(eager, tokens, null);
    for (let i = smallestFitting; i < ascending.length; i++) {
      const value = cost(tokens, ascending[i]!);
      if (!(value >= 0)) checkedCost(value, tokens, ascending[i]!);
      if (value < least) least = value;
    }
    return Math.min(least, ceiling);
  };
  return {
    price(tokens) {
      const known = prices[tokens]!;
      if (!Number.isNaN(known)) return known;
      const fresh = ask(
        tokens,
        ascending.findIndex((budget) => budget >= tokens),
      );
      prices[tokens] = fresh;
      return fresh;
    },
    all() {
      let tokens = 1;
      prices[0] = 0;
      ascending.forEach((budget, i) => {
        for (; tokens <= budget; tokens++) prices[tokens] = ask(tokens, i);
      });
      return prices;
    },
  };
}
