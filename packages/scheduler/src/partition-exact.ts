/**
 * The exact partition, by dynamic programming over the counts of unplaced items of each kind. Items of equal size are
 * one kind, so twenty equal images are as easy as one; a dozen different ones are the limit.
 */
import type { Partition, PartitionProblem } from "./partition.js";

/** Up to this many items may all differ: 3^12 / 2 = 265 720 steps, which are faster than those for equal items. */
const MAX_SINGLE_ITEMS = 12;

/** Maximum steps for many items of few kinds: 20 of three kinds need 18 000, 64 of four 270 million. */
const MAX_STEPS = 100_000;

/** The partition of least price, or null if finding it would take too long. */
export function exactPartition(problem: PartitionProblem): Partition | null {
  const binary = problem.tokens.length <= MAX_SINGLE_ITEMS;
  const kinds = binary ? singleKinds(problem) : equalKinds(problem);
  const steps = kinds.reduce(
    (product, { items }) => (product * (items.length + 1) * (items.length + 2)) / 2,
    1,
  );
  if (!binary && steps / 2 > MAX_STEPS) return null;

  // A state is the count of each kind, as digits of a mixed-radix number; the last kind is the highest digit.
  const strides: number[] = [];
  let states = 1;
  for (const { items } of kinds) {
    strides.push(states);
    states *= items.length + 1;
  }
  const price = groupPrices(problem, kinds, strides, states);
  const best = new Float64Array(states).fill(Number.POSITIVE_INFINITY);
  const lastGroup = new Int32Array(states);
  best[0] = 0;

  const digits = new Int32Array(kinds.length);
  const parts = new Int32Array(states);
  for (let state = 1; state < states; state++) {
    increment(digits, kinds);
    let top = kinds.length - 1;
    while (digits[top] === 0) top--;
    // Only groups with an item of the top kind are tried; otherwise each partition would be found once for every order of
    // its groups. `low` is the state without its top kind: the items that can join that item.
    const low = state - digits[top]! * strides[top]!;
    let least = Number.POSITIVE_INFINITY;
    let chosen = 0;
    if (binary) {
      for (let part = low; ; part = (part - 1) & low) {
        const group = strides[top]! + part;
        const value = price[group]! + best[low - part]!;
        if (value < least) {
          least = value;
          chosen = group;
        }
        if (part === 0) break;
      }
    } else {
      const count = listParts(parts, digits, strides, top);
      for (let taken = 1; taken <= digits[top]!; taken++) {
        for (let part = 0; part < count; part++) {
          const group = taken * strides[top]! + parts[part]!;
          const value = price[group]! + best[state - group]!;
          if (value < least) {
            least = value;
            chosen = group;
          }
        }
      }
    }
    best[state] = least;
    lastGroup[state] = chosen;
  }
  return unwind(kinds, strides, lastGroup, states - 1);
}

/** Every state that takes some or none of each kind below `top`; returns how many. */
function listParts(parts: Int32Array, digits: Int32Array, strides: readonly number[], top: number): number {
  let count = 1;
  for (let kind = 0; kind < top; kind++) {
    const length = count * digits[kind]!;
    for (let part = 0; part < length; part++) parts[count + part] = parts[part]! + strides[kind]!;
    count += length;
  }
  return count;
}

interface Kind {
  readonly tokens: number;
  readonly frames: number;
  readonly items: readonly number[];
}

function singleKinds({ tokens, frames }: PartitionProblem): Kind[] {
  return Array.from(tokens, (size, item) => ({ tokens: size, frames: frames[item]!, items: [item] }));
}

function equalKinds({ tokens, frames }: PartitionProblem): Kind[] {
  const kinds = new Map<string, { tokens: number; frames: number; items: number[] }>();
  for (let item = 0; item < tokens.length; item++) {
    const key = `${tokens[item]}/${frames[item]}`;
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { tokens: tokens[item]!, frames: frames[item]!, items: [item] });
    else kind.items.push(item);
  }
  return [...kinds.values()];
}

/** The price of each state as one group; Infinity if it exceeds a limit. */
function groupPrices(
  { maxTokens, maxItems, maxFrames, price }: PartitionProblem,
  kinds: readonly Kind[],
  strides: readonly number[],
  states: number,
): Float64Array {
  const tokens = new Float64Array(states);
  const frames = new Float64Array(states);
  const items = new Int32Array(states);
  const prices = new Float64Array(states);
  let top = 0;
  for (let state = 1; state < states; state++) {
    while (top + 1 < kinds.length && state >= strides[top + 1]!) top++;
    const without = state - strides[top]!;
    tokens[state] = tokens[without]! + kinds[top]!.tokens;
    frames[state] = frames[without]! + kinds[top]!.frames;
    items[state] = items[without]! + 1;
    const fits = tokens[state]! <= maxTokens && frames[state]! <= maxFrames && items[state]! <= maxItems;
    prices[state] = fits ? price(tokens[state]!) : Number.POSITIVE_INFINITY;
  }
  return prices;
}

function increment(digits: Int32Array, kinds: readonly Kind[]): void {
  let kind = 0;
  while (digits[kind] === kinds[kind]!.items.length) digits[kind++] = 0;
  digits[kind]!++;
}

function unwind(
  kinds: readonly Kind[],
  strides: readonly number[],
  lastGroup: Int32Array,
  full: number,
): Partition {
  const groups: number[][] = [];
  const used = kinds.map(() => 0);
  for (let state = full; state > 0; state -= lastGroup[state]!) {
    let rest = lastGroup[state]!;
    const group: number[] = [];
    for (let kind = kinds.length - 1; kind >= 0; kind--) {
      for (; rest >= strides[kind]!; rest -= strides[kind]!) group.push(kinds[kind]!.items[used[kind]!++]!);
    }
    groups.push(group);
  }
  return groups;
}
