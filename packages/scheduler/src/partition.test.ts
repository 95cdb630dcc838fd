import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FORBIDDEN, type Partition, type PartitionProblem, partitionCost } from "./partition.js";
import { annealPartition, landscapeOf, lowerBound } from "./partition-anneal.js";
import { exactPartition } from "./partition-exact.js";
import { fewestGroups, seedPartitions } from "./partition-seeds.js";

const BUDGETS = [64, 128, 256, 1024];

function problemOf(
  sizes: readonly number[],
  limits: { maxItems: number; maxFrames?: number; frames?: number[] },
  fixed: number,
): PartitionProblem {
  return {
    tokens: Int32Array.from(sizes).sort().reverse(),
    frames: Int32Array.from(limits.frames ?? sizes.map(() => 0)),
    maxTokens: 1024,
    maxItems: limits.maxItems,
    maxFrames: limits.maxFrames ?? Number.POSITIVE_INFINITY,
    price: (tokens) => fixed + BUDGETS.find((budget) => budget >= tokens)!,
  };
}

const pricesOf = ({ price, maxTokens }: PartitionProblem): Float64Array =>
  Float64Array.from({ length: maxTokens + 1 }, (_, tokens) => (tokens === 0 ? 0 : price(tokens)));

function partitionFaults(problem: PartitionProblem, partition: Partition): string[] {
  const faults: string[] = [];
  const placed = partition.flat().sort((a, b) => a - b);
  if (placed.join() !== Array.from(problem.tokens, (_, i) => i).join())
    faults.push(`placed ${placed.join()}`);
  for (const group of partition) {
    const sum = (values: Int32Array) => group.reduce((total, item) => total + values[item]!, 0);
    if (group.length > problem.maxItems) faults.push("items");
    if (sum(problem.tokens) > problem.maxTokens) faults.push("tokens");
    if (sum(problem.frames) > problem.maxFrames) faults.push("frames");
  }
  return faults;
}

const sizes = (minLength: number, maxLength: number) =>
  fc.array(fc.integer({ min: 1, max: 1024 }), { minLength, maxLength });
const fixedCosts = fc.integer({ min: 0, max: 800 });

describe("exactPartition", () => {
  it("refuses what would take too long", () => {
    const distinct = Array.from({ length: 13 }, (_, i) => 100 + i);
    expect(exactPartition(problemOf(distinct, { maxItems: 8 }, 10))).toBeNull();
  });

  it("solves many items of few sizes, as a table over their counts does", () => {
    const two = fc.record({
      a: fc.integer({ min: 1, max: 500 }),
      b: fc.integer({ min: 1, max: 500 }),
      countA: fc.integer({ min: 7, max: 14 }),
      countB: fc.integer({ min: 6, max: 14 }),
      maxItems: fc.integer({ min: 2, max: 6 }),
      fixed: fixedCosts,
    });
    fc.assert(
      fc.property(two, ({ a, b, countA, countB, maxItems, fixed }) => {
        const items = [...new Array<number>(countA).fill(a), ...new Array<number>(countB).fill(b)];
        const problem = problemOf(items, { maxItems }, fixed);
        const table: number[][] = [];
        for (let i = 0; i <= countA; i++) {
          table.push([]);
          for (let j = 0; j <= countB; j++) {
            let least = i + j === 0 ? 0 : Number.POSITIVE_INFINITY;
            for (let x = 0; x <= i; x++) {
              for (let y = 0; y <= j; y++) {
                const tokens = x * a + y * b;
                if (x + y === 0 || x + y > maxItems || tokens > 1024) continue;
                least = Math.min(least, problem.price(tokens) + table[i - x]![j - y]!);
              }
            }
            table[i]!.push(least);
          }
        }
        const partition = exactPartition(problem)!;
        expect(partitionFaults(problem, partition)).toEqual([]);
        expect(partitionCost(problem, partition)).toBe(table[countA]![countB]!);
      }),
    );
  });

  it("counts frames apart from tokens", () => {
    const problem = problemOf([10, 10, 10], { maxItems: 8, maxFrames: 4, frames: [1, 3, 3] }, 10);
    const partition = exactPartition(problem)!;
    expect(partitionFaults(problem, partition)).toEqual([]);
    expect(partition).toHaveLength(2);
  });
});

describe("lowerBound", () => {
  it("is never above the exact cost", () => {
    fc.assert(
      fc.property(sizes(1, 9), fc.integer({ min: 1, max: 5 }), fixedCosts, (items, maxItems, fixed) => {
        const problem = problemOf(items, { maxItems }, fixed);
        const landscape = landscapeOf(pricesOf(problem), BUDGETS);
        const total = items.reduce((a, b) => a + b, 0);
        const exact = partitionCost(problem, exactPartition(problem)!);
        expect(lowerBound(landscape, total, fewestGroups(problem))).toBeLessThanOrEqual(exact * (1 + 1e-9));
      }),
    );
  });

  it("is reached where items fill budgets to the last token", () => {
    const problem = problemOf([512, 512, 512, 512], { maxItems: 2 }, 10);
    const landscape = landscapeOf(pricesOf(problem), BUDGETS);
    expect(lowerBound(landscape, 2048, fewestGroups(problem))).toBe(2 * 1034);
  });
});

describe("landscapeOf", () => {
  it("is not guided by what is forbidden", () => {
    const price = (tokens: number): number => (tokens === 0 ? 0 : tokens <= 256 ? 300 : FORBIDDEN);
    const { energy } = landscapeOf(
      Float64Array.from({ length: 1025 }, (_, tokens) => price(tokens)),
      BUDGETS,
    );
    expect(Math.max(...energy.slice(0, 257))).toBeLessThan(1000);
    expect(Math.min(...energy.slice(257))).toBeGreaterThan(1e29);
  });
});

describe("seedPartitions", () => {
  it("place every item and keep the limits", () => {
    fc.assert(
      fc.property(sizes(1, 40), fc.integer({ min: 1, max: 5 }), fixedCosts, (items, maxItems, fixed) => {
        const problem = problemOf(
          items,
          { maxItems, maxFrames: 6, frames: items.map((n) => 1 + (n % 6)) },
          fixed,
        );
        for (const partition of seedPartitions(problem, BUDGETS)) {
          expect(partitionFaults(problem, partition)).toEqual([]);
        }
      }),
    );
  });
});

describe("annealPartition", () => {
  it("is never dearer than its start, and keeps the limits", () => {
    fc.assert(
      fc.property(sizes(2, 64), fc.integer({ min: 1, max: 8 }), fixedCosts, (items, maxItems, fixed) => {
        const problem = problemOf(
          items,
          { maxItems, maxFrames: 9, frames: items.map((n) => 1 + (n % 4)) },
          fixed,
        );
        const start = items.map((_, item) => [item]);
        const found = annealPartition(problem, landscapeOf(pricesOf(problem), BUDGETS), start, 0);
        expect(partitionFaults(problem, found)).toEqual([]);
        expect(partitionCost(problem, found)).toBeLessThanOrEqual(partitionCost(problem, start));
      }),
      { numRuns: 60 },
    );
  });

  it("finds the pairs that fill a budget exactly", () => {
    // 30 items that only fit as 15 pairs of 1024.
    const items = Array.from({ length: 15 }, (_, i) => 300 + 13 * i).flatMap((n) => [n, 1024 - n]);
    const problem = problemOf(items, { maxItems: 4 }, 50);
    const start = items.map((_, item) => [item]);
    const found = annealPartition(problem, landscapeOf(pricesOf(problem), BUDGETS), start, 0);
    expect(partitionCost(problem, found)).toBeLessThanOrEqual(15 * 1074 * 1.02);
  });
});
