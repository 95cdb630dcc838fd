/**
 * The cost of a batch for packing by cost: one function, in any unit (milliseconds, tokens). It is called for each
 * budget that holds the tokens, and for eager; the cheapest wins. Measured costs can be used directly.
 */
import { VitgraphError } from "@vitgraph/errors";
import type { Batch } from "./batch.js";

/**
 * Cost of running `tokens` rows in the graph captured for `budget`, or eagerly if `budget` is null. If padding is
 * computed, the cost depends on the budget only; if padding is free, on the tokens only. Infinity excludes a choice.
 */
export type BatchCost = (tokens: number, budget: number | null) => number;

/**
 * A cost measured for each budget: padding is computed, so the cost of a replay does not depend on its fill. A budget
 * missing from `costs` is never used. Without `eager`, only items that fit no budget run eagerly.
 */
export function costPerBudget(
  costs: Readonly<Record<number, number>>,
  eager: (tokens: number) => number = () => Number.POSITIVE_INFINITY,
): BatchCost {
  return (tokens, budget) => (budget === null ? eager(tokens) : (costs[budget] ?? Number.POSITIVE_INFINITY));
}

/** The cost if padding is free: `fixed` per batch and `perToken` for each real token, for any budget. */
export function costPerToken(
  { fixed, perToken }: { readonly fixed: number; readonly perToken: number },
  eager: (tokens: number) => number = () => Number.POSITIVE_INFINITY,
): BatchCost {
  return (tokens, budget) => (budget === null ? eager(tokens) : fixed + perToken * tokens);
}

/** The cheapest way to run `tokens`: a budget that holds them, or null for eager. Ties go to the smallest budget. */
export function cheapestBudget(
  tokens: number,
  budgets: readonly number[],
  cost: BatchCost,
): { readonly budget: number | null; readonly cost: number } {
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const budget of budgets) {
    if (budget < tokens) continue;
    const value = checkedCost(cost(tokens, budget), tokens, budget);
    if (value < least || (value === least && best !== null && budget < best)) {
      best = budget;
      least = value;
    }
  }
  const eager = checkedCost(cost(tokens, null), tokens, null);
  return eager < least ? { budget: null, cost: eager } : { budget: best, cost: least };
}

/** Total cost of batches, each with its budget. Infinity if a cost excludes one. */
export function costOfBatches(batches: readonly Batch<unknown>[], cost: BatchCost): number {
  return batches.reduce((total, { tokens, budget }) => total + cost(tokens, budget), 0);
}

/** Throws `VG_ARGUMENT_INVALID` for a cost that cannot be compared or that would reward running more. */
export function checkedCost(value: number, tokens: number, budget: number | null): number {
  if (value >= 0) return value;
  const where = budget === null ? "eagerly" : `in budget ${budget}`;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `the cost of ${tokens} tokens ${where} is ${value}`, {
    remedy: "return a number of at least 0, or Infinity to forbid it",
    details: { tokens, budget, value },
  });
}
