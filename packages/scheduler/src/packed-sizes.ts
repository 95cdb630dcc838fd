/**
 * The sizes of batches under load, for planning budgets from batches instead of single items.
 *
 * vLLM's rule closes a batch at the largest budget, regardless of the smaller ones. So its batches are known before the
 * smaller budgets are planned.
 */
import { VitgraphError } from "@vitgraph/errors";
import { histogramOf, type SizeCount } from "./histogram.js";
import { packGreedyAscending } from "./pack-greedy.js";

/** The load and the limits of the batches. */
export interface PackedSizesOptions {
  /** Maximum waiting items, up to 1024: each number from 1 to this is equally frequent. Sizes are drawn from the histogram. */
  readonly waiting: number;
  /** Most tokens of a batch of several items. */
  readonly largestBudget: number;
  /** Most items in a batch. */
  readonly maxItems: number;
}

/** Time grows with the square of the waiting items, and more change little: batches are full before. */
const MAX_WAITING = 1024;

/** Enough that a plan's padding changes in its third digit from seed to seed. */
const DRAWN_ITEMS = 65_536;

/**
 * Tokens of the batches of vLLM's rule. A weight is the number of batches per item, so the weights add up to 1 if every
 * item runs alone, and to less if batches hold several. The draw has a fixed seed.
 * @throws VG_ARGUMENT_INVALID for an empty histogram, and for numbers that are not positive integers
 */
export function packedSizes(
  histogram: Iterable<SizeCount | number>,
  { waiting, largestBudget, maxItems }: PackedSizesOptions,
): SizeCount[] {
  if (!Number.isSafeInteger(waiting) || waiting < 1 || waiting > MAX_WAITING) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `waiting ${waiting} is not an integer from 1 to ${MAX_WAITING}`,
      {
        remedy: "give a number in that range",
        details: { waiting },
      },
    );
  }
  const draw = sampler(histogramOf(histogram));
  const limits = { tokenBudgets: [largestBudget], maxItems };
  const batches: number[] = [];
  let drawn = 0;
  // The last cycle is completed, so that all counts are equally frequent.
  for (let count = 1; drawn < DRAWN_ITEMS || count > 1; count = (count % waiting) + 1) {
    const items = Array.from({ length: count }, () => ({ spec: { inputSize: 0, outputTokens: draw() } }));
    for (const { tokens } of packGreedyAscending(items, limits)) batches.push(tokens);
    drawn += count;
  }
  return histogramOf(batches.map((tokens) => ({ tokens, weight: 1 / drawn })));
}

/** Draws tokens by weight. */
function sampler(sizes: readonly SizeCount[]): () => number {
  if (sizes.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "the histogram has no sizes", {
      remedy: "give at least one size with a weight above 0",
    });
  }
  const ends: number[] = [];
  let total = 0;
  for (const { weight } of sizes) {
    total += weight;
    ends.push(total);
  }
  let random = 0x9e3779b1 | 0;
  return () => {
    // xorshift32
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    const at = ((random >>> 0) / 2 ** 32) * total;
    let low = 0;
    for (let high = sizes.length - 1; low < high; ) {
      const middle = (low + high) >> 1;
      if (ends[middle]! > at) high = middle;
      else low = middle + 1;
    }
    return sizes[low]!.tokens;
  };
}
