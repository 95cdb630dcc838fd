/**
 * Token budgets: the sizes for which a graph exists. Looks one up, and lists the power-of-two series that vLLM infers.
 * The budgets of an encoder come from its configuration, or from `planBudgets` and observed traffic.
 */
import { VitgraphError } from "@vitgraph/errors";

/** The smallest of `budgets` (in any order) that holds `tokens`; null if none does: the batch then runs eagerly. */
export function findBudget(tokens: number, budgets: readonly number[]): number | null {
  let best: number | null = null;
  for (const budget of budgets) {
    if (budget >= tokens && (best === null || budget < best)) best = budget;
  }
  return best;
}

/** `smallest`, doubled while it does not exceed `largest`; `largest` itself comes last. vLLM's series. */
export function powerOfTwoBudgets(smallest: number, largest: number): number[] {
  if (!Number.isSafeInteger(smallest) || !Number.isSafeInteger(largest) || smallest <= 0 || largest <= 0) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `budgets from ${smallest} to ${largest} are not positive integers`,
      {
        remedy: "give the fewest and the most tokens that a batch can have",
        details: { smallest, largest },
      },
    );
  }
  const budgets: number[] = [];
  for (let budget = smallest; budget <= largest; budget *= 2) budgets.push(budget);
  const last = budgets.at(-1);
  if (last === undefined || last < largest) budgets.push(largest);
  return budgets;
}
