/** Data-parallel encoding: assigns items to ranks. Each rank then packs its own items. */
import { VitgraphError } from "@vitgraph/errors";
import type { ItemSpec, Packable } from "./items.js";

/** The items of each rank, in the form of vLLM's `get_load_balance_assignment`. */
export interface RankAssignment {
  /** Item indices, those of rank 0 first, then rank 1 and so on. */
  readonly order: readonly number[];
  /** Number of items of each rank. */
  readonly counts: readonly number[];
  /** Sum of the sizes, or costs, on each rank. */
  readonly loads: readonly number[];
}

/**
 * vLLM's load balance: the largest item first, each to the rank with the least load, the lowest such rank on ties.
 * `sizes` are input sizes (patches) in vLLM. Throws `VG_ARGUMENT_INVALID` for sizes or ranks that are not numbers.
 */
export function assignRanks(sizes: readonly number[], ranks: number): RankAssignment {
  checkSizes(sizes, ranks);
  return assignmentOf(largestFirst(sizes, ranks), sizes);
}

/**
 * Balances by cost: because of attention, one large image costs more than two of half its size. Returns each rank's
 * items. The cost of the slowest rank is never above that of vLLM's assignment.
 *
 * Starts from the better of two assignments, largest first and dearest first, and then moves and swaps items off the
 * dearest rank as long as that helps.
 */
export function assignRanksByCost<T extends Packable>(
  items: readonly T[],
  ranks: number,
  cost: (item: ItemSpec) => number,
): readonly (readonly T[])[] {
  const costs = items.map(({ spec }) => cost(spec));
  checkSizes(costs, ranks);
  const bySize = largestFirst(
    items.map(({ spec }) => spec.inputSize),
    ranks,
  );
  const byCost = largestFirst(costs, ranks);
  const better = peak(byCost, costs) <= peak(bySize, costs) ? byCost : bySize;
  relieveDearest(better, costs);
  return better.map((rank) => rank.map((index) => items[index]!));
}

/** Assigns items by descending key, each to the rank with the least sum of keys. */
function largestFirst(keys: readonly number[], ranks: number): number[][] {
  const order = keys.map((_, index) => index).sort((a, b) => keys[b]! - keys[a]!);
  const assigned: number[][] = Array.from({ length: ranks }, () => []);
  const loads = assigned.map(() => 0);
  for (const index of order) {
    let least = 0;
    for (let rank = 1; rank < ranks; rank++) if (loads[rank]! < loads[least]!) least = rank;
    assigned[least]!.push(index);
    loads[least]! += keys[index]!;
  }
  return assigned;
}

/** Most rounds of improvement; the first ones help most. */
const MAX_ROUNDS = 100;

/** Moves an item off the dearest rank, or swaps it for a cheaper one, as long as both ranks end below the dearest one's cost. */
function relieveDearest(assigned: number[][], costs: readonly number[]): void {
  const loads = assigned.map((items) => sum(items, costs));
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const dearest = loads.indexOf(Math.max(...loads));
    let best: { rank: number; out: number; back: number | undefined } | undefined;
    let leastPeak = loads[dearest]!;
    for (let rank = 0; rank < assigned.length; rank++) {
      if (rank === dearest) continue;
      for (const out of assigned[dearest]!) {
        for (const back of [undefined, ...assigned[rank]!]) {
          const moved = costs[out]! - (back === undefined ? 0 : costs[back]!);
          const peak = Math.max(loads[dearest]! - moved, loads[rank]! + moved);
          if (peak < leastPeak) {
            leastPeak = peak;
            best = { rank, out, back };
          }
        }
      }
    }
    if (best === undefined) return;
    const { rank, out, back } = best;
    assigned[dearest] = assigned[dearest]!.filter((item) => item !== out);
    assigned[rank]!.push(out);
    if (back !== undefined) {
      assigned[rank] = assigned[rank]!.filter((item) => item !== back);
      assigned[dearest].push(back);
    }
    loads[dearest] = sum(assigned[dearest], costs);
    loads[rank] = sum(assigned[rank]!, costs);
  }
}

function assignmentOf(assigned: readonly number[][], costs: readonly number[]): RankAssignment {
  return {
    order: assigned.flat(),
    counts: assigned.map((items) => items.length),
    loads: assigned.map((items) => sum(items, costs)),
  };
}

const sum = (items: readonly number[], costs: readonly number[]): number =>
  items.reduce((total, item) => total + costs[item]!, 0);

const peak = (assigned: readonly number[][], costs: readonly number[]): number =>
  Math.max(...assigned.map((items) => sum(items, costs)));

function checkSizes(sizes: readonly number[], ranks: number): void {
  if (!Number.isSafeInteger(ranks) || ranks < 1) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${ranks} ranks is not a positive integer`, {
      remedy: "give at least one rank",
      details: { ranks },
    });
  }
  sizes.forEach((size, index) => {
    if (Number.isFinite(size) && size >= 0) return;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `item ${index} has size or cost ${size}`, {
      remedy: "give a finite number of at least 0",
      details: { index, size },
    });
  });
}
