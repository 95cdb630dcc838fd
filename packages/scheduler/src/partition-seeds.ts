/**
 * Fast initial partitions for a search. They complement each other: contiguous cuts if items limit a batch, best fit if
 * tokens do, level filling if both are tight.
 */
import type { Partition, PartitionProblem } from "./partition.js";

/** Several partitions, vLLM's greedy one and the best contiguous one among them. */
export function* seedPartitions(problem: PartitionProblem, budgets: readonly number[]): Generator<Partition> {
  const ascending = Array.from(problem.tokens, (_, item) => item).reverse();
  yield cutGreedily(problem, ascending);
  yield cutBest(problem, ascending);
  const largestItem = problem.tokens[0] ?? 0;
  for (const budget of budgets) {
    if (budget < largestItem || budget > problem.maxTokens) continue;
    const groups = bestFitDecreasing(problem, budget);
    yield groups;
    yield cutBest(problem, groups.flat());
  }
  const fewest = fewestGroups(problem);
  for (let count = fewest; count <= fewest + 2; count++) {
    const groups = fillLevel(problem, count);
    if (groups !== null) yield groups;
  }
}

/** A lower bound of the number of groups. */
export function fewestGroups({ tokens, frames, maxTokens, maxItems, maxFrames }: PartitionProblem): number {
  const sum = (values: Int32Array): number => values.reduce((total, value) => total + value, 0);
  return Math.max(
    Math.ceil(tokens.length / maxItems),
    Math.ceil(sum(tokens) / maxTokens),
    Math.ceil(sum(frames) / maxFrames),
  );
}

/** Cuts the order where the next item does not fit: vLLM's rule, if the order is ascending. */
function cutGreedily(problem: PartitionProblem, order: readonly number[]): Partition {
  const groups: number[][] = [];
  let room = { tokens: 0, frames: 0, items: 0 };
  for (const item of order) {
    const tokens = problem.tokens[item]!;
    const frames = problem.frames[item]!;
    if (room.items === 0 || tokens > room.tokens || frames > room.frames) {
      groups.push([]);
      room = { tokens: problem.maxTokens, frames: problem.maxFrames, items: problem.maxItems };
    }
    groups.at(-1)!.push(item);
    room.tokens -= tokens;
    room.frames -= frames;
    room.items--;
  }
  return groups;
}

/** The cheapest way to cut the order into consecutive groups. */
export function cutBest(problem: PartitionProblem, order: readonly number[]): Partition {
  const { tokens, frames, maxTokens, maxItems, maxFrames, price } = problem;
  const best = new Float64Array(order.length + 1).fill(Number.POSITIVE_INFINITY);
  const cutBefore = new Int32Array(order.length + 1);
  best[0] = 0;
  for (let start = 0; start < order.length; start++) {
    let groupTokens = 0;
    let groupFrames = 0;
    for (let end = start + 1; end <= order.length && end - start <= maxItems; end++) {
      groupTokens += tokens[order[end - 1]!]!;
      groupFrames += frames[order[end - 1]!]!;
      if (groupTokens > maxTokens || groupFrames > maxFrames) break;
      const value = best[start]! + price(groupTokens);
      if (value < best[end]!) {
        best[end] = value;
        cutBefore[end] = start;
      }
    }
  }
  const groups: number[][] = [];
  for (let end = order.length; end > 0; end = cutBefore[end]!) groups.push(order.slice(cutBefore[end]!, end));
  return groups.reverse();
}

/** Items descending, each into the fullest group below `capacity` that still takes it. */
function bestFitDecreasing(problem: PartitionProblem, capacity: number): number[][] {
  const groups: number[][] = [];
  const tokensLeft: number[] = [];
  const framesLeft: number[] = [];
  for (let item = 0; item < problem.tokens.length; item++) {
    const tokens = problem.tokens[item]!;
    const frames = problem.frames[item]!;
    let at = -1;
    for (let group = 0; group < groups.length; group++) {
      const left = tokensLeft[group]!;
      if (left < tokens || framesLeft[group]! < frames || groups[group]!.length >= problem.maxItems) continue;
      if (at < 0 || left < tokensLeft[at]!) at = group;
    }
    if (at < 0) {
      at = groups.push([]) - 1;
      tokensLeft.push(capacity);
      framesLeft.push(problem.maxFrames);
    }
    groups[at]!.push(item);
    tokensLeft[at]! -= tokens;
    framesLeft[at]! -= frames;
  }
  return groups;
}

/** Items descending, each into the emptiest of `count` groups; null if an item does not fit. */
function fillLevel(problem: PartitionProblem, count: number): Partition | null {
  const groups: number[][] = Array.from({ length: count }, () => []);
  const tokensLeft = groups.map(() => problem.maxTokens);
  const framesLeft = groups.map(() => problem.maxFrames);
  for (let item = 0; item < problem.tokens.length; item++) {
    let at = -1;
    for (let group = 0; group < count; group++) {
      if (framesLeft[group]! < problem.frames[item]! || groups[group]!.length >= problem.maxItems) continue;
      if (at < 0 || tokensLeft[group]! > tokensLeft[at]!) at = group;
    }
    if (at < 0 || tokensLeft[at]! < problem.tokens[item]!) return null;
    groups[at]!.push(item);
    tokensLeft[at]! -= problem.tokens[item]!;
    framesLeft[at]! -= problem.frames[item]!;
  }
  return groups.filter((group) => group.length > 0);
}
