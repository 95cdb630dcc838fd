/**
 * A bounded search for a cheap partition: simulated annealing over moves of one item and swaps of two.
 *
 * Not exact, but deterministic: the random numbers come from a fixed seed, so the same items always give the same
 * batches. It starts from a given partition and never returns a more expensive one.
 *
 * The energy is not the price alone. Prices by budget are a step function, and nearly every move stays on its step, so
 * the price has no gradient. The search adds a guide, concave between the steps, that rewards emptying one group while
 * filling another: 300 + 700 becomes 100 + 900 before it becomes 0 + 1000.
 */
import { FORBIDDEN, type Partition, type PartitionProblem, partitionCost } from "./partition.js";

/** Lookup tables of the inner loop, by tokens; computed once for a problem's limits and prices. */
export interface Landscape {
  /** Price of a group; 0 for an empty one. */
  readonly price: Float64Array;
  /** Price plus guide. */
  readonly energy: Float64Array;
  /** Corners of the prices' lower convex hull, in tokens: see {@link lowerBound}. */
  readonly corners: readonly number[];
}

/** Weight of the guide between two steps, and of the one that empties groups altogether, against the price. */
const STEP_GUIDE = 1;
const EMPTYING_GUIDE = 0.5;

/** @param price by tokens, from 0 to the largest budget; price[0] is 0 */
export function landscapeOf(price: Float64Array, budgets: readonly number[]): Landscape {
  const steps = [...new Set(budgets)].sort((a, b) => a - b);
  const maxTokens = price.length - 1;
  const energy = new Float64Array(price.length);
  const dearest = dearestAllowed(price);
  const emptying = EMPTYING_GUIDE * dearest;
  let below = 0;
  for (const step of steps) {
    // Forbidden sizes must not contribute to the guide: it would dominate every price.
    const base = STEP_GUIDE * Math.min(price[below]!, dearest);
    const rise = STEP_GUIDE * Math.min(price[step]!, dearest) - base;
    const perToken = 1 / (step - below);
    for (let tokens = below + 1; tokens <= step; tokens++) {
      energy[tokens] =
        price[tokens]! +
        base +
        rise * concave((tokens - below) * perToken) +
        emptying * concave(tokens / maxTokens);
    }
    below = step;
  }
  return { price, energy, corners: hullCorners(price) };
}

function dearestAllowed(prices: Float64Array): number {
  const ceiling = FORBIDDEN;
  let dearest = 0;
  for (const price of prices) if (price > dearest && price < ceiling) dearest = price;
  return dearest;
}

/** From 0 to 1, steeper at the start. */
const concave = (x: number): number => x * (1.5 - 0.5 * x);

function hullCorners(prices: Float64Array): number[] {
  const corners: number[] = [];
  for (let tokens = 1; tokens < prices.length; tokens++) {
    while (corners.length >= 2) {
      const a = corners[corners.length - 2]!;
      const b = corners[corners.length - 1]!;
      const turnsUp = (prices[b]! - prices[a]!) * (tokens - b) < (prices[tokens]! - prices[b]!) * (b - a);
      if (turnsUp) break;
      corners.pop();
    }
    corners.push(tokens);
  }
  return corners;
}

/**
 * A lower bound of the price of any partition, even with divisible items. Prices are bounded below by their convex
 * hull; on it k groups cost least if all are equal, k · hull(total / k); and that is convex in k.
 */
export function lowerBound(landscape: Landscape, totalTokens: number, fewestGroups: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let groups = Math.max(1, fewestGroups); groups <= totalTokens; groups++) {
    const value = groups * hullAt(landscape, totalTokens / groups);
    if (value >= least) break;
    least = value;
  }
  return least;
}

function hullAt({ price, corners }: Landscape, tokens: number): number {
  let above = 0;
  while (corners[above]! < tokens) above++;
  const right = corners[above]!;
  if (above === 0) return price[right]!;
  const left = corners[above - 1]!;
  return price[left]! + ((price[right]! - price[left]!) * (tokens - left)) / (right - left);
}

/** An annealing run: its tries, and its temperatures in mean prices of a group. */
export interface Run {
  readonly tries: number;
  readonly warm: number;
  readonly cold: number;
}

/** Two runs, the second from a lower temperature: what fits into a millisecond. */
const RUNS: readonly Run[] = [
  { tries: 16_000, warm: 0.2, cold: 0.003 },
  { tries: 16_000, warm: 0.05, cold: 0.001 },
];
const TEMPERATURES = 50;

/** Indices are drawn from 15 random bits. */
const MAX_ITEMS = 1 << 15;

/** −ln of evenly spread numbers between 0 and 1: a rise of r · temperature is accepted with probability e^−r. */
const ACCEPTED_RISE = Float64Array.from({ length: 1024 }, (_, i) => -Math.log((i + 0.5) / 1024));

/** `start`, or a cheaper partition. Stops when `bound` is reached. Longer `runs` find slightly better ones. */
export function annealPartition(
  problem: PartitionProblem,
  { price, energy }: Landscape,
  start: Partition,
  bound: number,
  runs: readonly Run[] = RUNS,
): Partition {
  const { tokens, frames, maxTokens, maxItems, maxFrames } = problem;
  const items = tokens.length;
  if (items > MAX_ITEMS || items < 2) return start;
  const limitFrames = Number.isFinite(maxFrames);
  const scale = items / MAX_ITEMS;

  const groupOf = new Int32Array(items);
  const groupTokens = new Int32Array(items + 1);
  const groupFrames = new Float64Array(items + 1);
  const groupItems = new Int32Array(items + 1);
  start.forEach((group, index) => {
    for (const item of group) {
      groupOf[item] = index;
      groupTokens[index]! += tokens[item]!;
      groupFrames[index]! += frames[item]!;
      groupItems[index]!++;
    }
  });
  // Groups 0 … groups − 1 are in use; the next one is empty, so that a move to it opens a group.
  let groups = start.length;

  let cost = partitionCost(problem, start);
  let leastCost = cost;
  const best = groupOf.slice();
  // Sums in another order differ in the last bits, which must not count as an improvement.
  const tolerance = 1e-9 * cost;
  const meanCost = cost / groups;
  let random = 0x9e3779b1 | 0;

  for (const { tries, warm, cold } of runs) {
    const cooling = (cold / warm) ** (1 / TEMPERATURES);
    let temperature = warm * meanCost;
    for (let round = 0; round < TEMPERATURES; round++, temperature *= cooling) {
      // Inlined by hand: it runs a dozen million times a second, and is 1.6 times as fast as with functions.
      for (let attempt = tries / TEMPERATURES; attempt > 0; attempt--) {
        random ^= random << 13;
        random ^= random >>> 17;
        random ^= random << 5;
        const acceptedRise = temperature * ACCEPTED_RISE[(random >>> 11) & 1023]!;
        const i = ((random & 0x7fff) * scale) | 0;
        const a = groupOf[i]!;
        const aBefore = groupTokens[a]!;

        if ((attempt & 1) === 0) {
          // Swap two items of different groups.
          const j = ((random >>> 17) * scale) | 0;
          const b = groupOf[j]!;
          const excess = tokens[i]! - tokens[j]!;
          if (a === b || excess === 0) continue;
          const bBefore = groupTokens[b]!;
          const aAfter = aBefore - excess;
          const bAfter = bBefore + excess;
          if (aAfter > maxTokens || bAfter > maxTokens) continue;
          const rise = energy[aAfter]! + energy[bAfter]! - energy[aBefore]! - energy[bBefore]!;
          if (rise > acceptedRise) continue;
          if (limitFrames) {
            const moved = frames[i]! - frames[j]!;
            if (groupFrames[a]! - moved > maxFrames || groupFrames[b]! + moved > maxFrames) continue;
            groupFrames[a]! -= moved;
            groupFrames[b]! += moved;
          }
          groupOf[i] = b;
          groupOf[j] = a;
          groupTokens[a] = aAfter;
          groupTokens[b] = bAfter;
          cost += price[aAfter]! + price[bAfter]! - price[aBefore]! - price[bBefore]!;
        } else {
          // One item moves to another group, perhaps a new one.
          const b = ((random >>> 17) * (groups + 1)) >>> 15;
          if (a === b || groupItems[b]! >= maxItems) continue;
          const bBefore = groupTokens[b]!;
          const aAfter = aBefore - tokens[i]!;
          const bAfter = bBefore + tokens[i]!;
          if (bAfter > maxTokens || aAfter + bBefore === 0) continue;
          const rise = energy[aAfter]! + energy[bAfter]! - energy[aBefore]! - energy[bBefore]!;
          if (rise > acceptedRise) continue;
          if (limitFrames) {
            if (groupFrames[b]! + frames[i]! > maxFrames) continue;
            groupFrames[a]! -= frames[i]!;
            groupFrames[b]! += frames[i]!;
          }
          groupOf[i] = b;
          groupTokens[a] = aAfter;
          groupTokens[b] = bAfter;
          groupItems[a]!--;
          groupItems[b]!++;
          cost += price[aAfter]! + price[bAfter]! - price[aBefore]! - price[bBefore]!;
          if (b === groups) groups++;
          if (aAfter === 0) {
            // The last group takes the number of the emptied one.
            groups--;
            if (a !== groups) {
              for (let item = 0; item < items; item++) if (groupOf[item] === groups) groupOf[item] = a;
              groupTokens[a] = groupTokens[groups]!;
              groupFrames[a] = groupFrames[groups]!;
              groupItems[a] = groupItems[groups]!;
            }
            groupTokens[groups] = 0;
            groupFrames[groups] = 0;
            groupItems[groups] = 0;
          }
        }

        if (cost < leastCost - tolerance) {
          leastCost = cost;
          best.set(groupOf);
          if (leastCost <= bound) return groupsFrom(best);
        }
      }
    }
  }
  return groupsFrom(best);
}

function groupsFrom(groupOf: Int32Array): Partition {
  const groups: number[][] = [];
  groupOf.forEach((group, item) => {
    groups[group] ??= [];
    groups[group].push(item);
  });
  return groups.filter((group) => group !== undefined);
}
