/**
 * The abstract problem of packing by cost: split items into groups of least total price, where a group's price depends
 * only on its tokens. Plain numbers, without items, budgets or paths; shared by the solvers.
 *
 * The problem is NP-hard (bin packing is a special case), so there is an exact solver for few items and a bounded
 * search for more.
 */

export interface PartitionProblem {
  /** Tokens of each item, descending, all between 1 and `maxTokens`. */
  readonly tokens: Int32Array;
  /** Frames of each item; all 0 if frames are not limited. */
  readonly frames: Int32Array;
  readonly maxTokens: number;
  readonly maxItems: number;
  /** Infinity if frames are not limited. */
  readonly maxFrames: number;
  /** Price of a group by its tokens, for 1 ≤ tokens ≤ maxTokens. At most {@link FORBIDDEN}. */
  readonly price: (tokens: number) => number;
}

/** Replaces Infinity as a price: differences of infinities would be NaN. */
export const FORBIDDEN = 1e30;

/** Groups of item indices. Every item is in exactly one of them. */
export type Partition = readonly (readonly number[])[];

export function partitionCost(problem: PartitionProblem, partition: Partition): number {
  let cost = 0;
  for (const group of partition) {
    let tokens = 0;
    for (const item of group) tokens += problem.tokens[item]!;
    cost += problem.price(tokens);
  }
  return cost;
}
