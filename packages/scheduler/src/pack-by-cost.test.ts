import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byPosition, itemSpecs, packingFaults, packLimits } from "../test/arbitraries.js";
import {
  type BatchCost,
  budgetTokensOf,
  commonSizes,
  costOfBatches,
  costPerBudget,
  costPerToken,
  createCostPacker as createPacker,
  type ItemSpec,
  type PackLimits,
  packByCost as packItemsByCost,
  packGreedyAscending as packItemsGreedily,
  powerOfTwoBudgets,
} from "./index.js";
import { landscapeOf, lowerBound } from "./partition-anneal.js";
import { seededRandom } from "./seeded-random.js";

const packByCost = byPosition(packItemsByCost);
const packGreedyAscending = byPosition(packItemsGreedily);
const createCostPacker = (limits: PackLimits, cost: BatchCost) => byPosition(createPacker(limits, cost));

const tokens = (...sizes: number[]): ItemSpec[] =>
  sizes.map((outputTokens) => ({ inputSize: 4 * outputTokens, outputTokens }));

/** Costs of every kind: padding computed or free, launches cheap or dear, eager sometimes better, plain odd ones. */
const costs: fc.Arbitrary<BatchCost> = fc.oneof(
  fc.integer({ min: 0, max: 2000 }).map(
    (fixed): BatchCost =>
      (n, budget) =>
        fixed + (budget ?? 3 * n),
  ),
  fc
    .record({
      fixed: fc.integer({ min: 0, max: 2000 }),
      perToken: fc.double({ min: 0, max: 3, noNaN: true }),
    })
    .map(({ fixed, perToken }) => costPerToken({ fixed, perToken }, (n) => 2 * fixed + perToken * n)),
  fc.integer({ min: 0, max: 600 }).map(
    (launch): BatchCost =>
      (n, budget) =>
        budget === null ? Math.max(launch, n) : 40 + budget,
  ),
  fc.constant<BatchCost>((n, budget) => (budget === null ? 1 + n * n : Math.sqrt(budget))),
  fc.integer().map(
    (seed): BatchCost =>
      (n, budget) =>
        Math.abs(Math.sin(seed + (budget ?? n))) * 100,
  ),
);

describe("packByCost", () => {
  it("splits a batch where two small budgets cost less than a large one", () => {
    const cost = costPerBudget({ 64: 1, 128: 2, 1024: 50 });
    const items = tokens(60, 60, 100);
    const limits = { tokenBudgets: [64, 128, 1024], maxItems: 8 };
    const batches = packByCost(items, limits, cost);
    expect(batches.map(({ items, budget }) => [items, budget])).toEqual([
      [[2], 128],
      [[0, 1], 128],
    ]);
    expect(costOfBatches(batches, cost)).toBe(4);
    expect(costOfBatches(packGreedyAscending(items, limits), cost)).toBe(50);
  });

  it("opens as few batches as it can where padding is free and each batch has its price", () => {
    const cost = costPerToken({ fixed: 100, perToken: 1 });
    const items = tokens(500, 10, 500, 20);
    const limits = { tokenBudgets: [64, 1024], maxItems: 8 };
    const batches = packByCost(items, limits, cost);
    expect(batches).toHaveLength(2);
    expect(costOfBatches(batches, cost)).toBe(2 * 100 + 1030);
  });

  it("takes eager where it costs less than any replay", () => {
    const [batch] = packByCost(
      tokens(10),
      { tokenBudgets: [1024], maxItems: 4 },
      costPerBudget({ 1024: 50 }, (n) => n),
    );
    expect(batch).toMatchObject({ items: [0], budget: null });
  });

  it("takes a larger budget that was measured to be cheaper", () => {
    const [batch] = packByCost(
      tokens(10),
      { tokenBudgets: [64, 128], maxItems: 4 },
      costPerBudget({ 64: 3, 128: 2 }),
    );
    expect(batch).toMatchObject({ budget: 128 });
  });

  it("never uses a budget without a cost", () => {
    const [batch] = packByCost(
      tokens(10),
      { tokenBudgets: [64, 128], maxItems: 4 },
      costPerBudget({ 128: 2 }),
    );
    expect(batch).toMatchObject({ budget: 128 });
  });

  it("still runs an item that every cost forbids", () => {
    const batches = packByCost(
      tokens(10, 5000),
      { tokenBudgets: [64], maxItems: 4 },
      () => Number.POSITIVE_INFINITY,
    );
    expect(batches.map(({ items, budget }) => [items, budget])).toEqual([
      [[0], null],
      [[1], null],
    ]);
  });

  it("packs nothing into nothing, and eager items alone where there are no budgets", () => {
    const cost = costPerToken({ fixed: 1, perToken: 1 }, (n) => n);
    expect(packByCost([], { tokenBudgets: [64], maxItems: 4 }, cost)).toEqual([]);
    expect(
      packByCost(tokens(3, 4), { tokenBudgets: [], maxItems: 4 }, cost).map(({ items }) => items),
    ).toEqual([[0], [1]]);
  });

  it("is exact for many items of few sizes", () => {
    // 10 000 tokens fill ten budgets to the last token, with two of 300 and two of 200 in each.
    const items = tokens(...new Array<number>(20).fill(300), ...new Array<number>(20).fill(200));
    const batches = packByCost(items, { tokenBudgets: [1000], maxItems: 8 }, costPerBudget({ 1000: 1 }));
    expect(batches).toHaveLength(10);
  });

  it("does not use a budget that was dropped, the largest either", () => {
    // A graph that failed its self-check: its budget is still a limit, but has no cost.
    const cost = costPerBudget({ 64: 90, 256: 290, 512: 550, 1024: 1100 });
    const random = seededRandom(1);
    const items = tokens(...Array.from({ length: 48 }, () => 20 + Math.floor(random() * 400)));
    const batches = packByCost(items, { tokenBudgets: [64, 256, 512, 1024, 4096], maxItems: 8 }, cost);
    expect(batches.every(({ budget }) => budget !== null && budget <= 1024)).toBe(true);
  });

  it("gives the same batches every time", () => {
    const items = tokens(...Array.from({ length: 64 }, (_, i) => 50 + ((i * 7919) % 1500)));
    const limits = { tokenBudgets: [64, 256, 1024, 4096], maxItems: 8 };
    const pack = createCostPacker(limits, (_, budget) => 100 + (budget ?? 1e6));
    expect(pack(items)).toEqual(packByCost(items, limits, (_, budget) => 100 + (budget ?? 1e6)));
    expect(pack(items)).toEqual(pack(items));
  });

  it("asks for each cost once", () => {
    const asked: string[] = [];
    const pack = createCostPacker({ tokenBudgets: [64, 128], maxItems: 2 }, (n, budget) => {
      asked.push(`${n}/${budget}`);
      return budget ?? 1000;
    });
    pack(tokens(10, 20, 30));
    const first = asked.length;
    pack(tokens(10, 20, 30));
    // Only the costs of the chosen batches are requested again.
    expect(asked.slice(first).every((question) => asked.slice(0, first).includes(question))).toBe(true);
    expect(asked.length - first).toBeLessThan(first);
  });

  it.each([Number.NaN, -1])("refuses a cost of %d", (value) => {
    expect(() => packByCost(tokens(10), { tokenBudgets: [64], maxItems: 4 }, () => value)).toThrow(
      expect.objectContaining({
        code: "VG_ARGUMENT_INVALID",
        message: `the cost of 10 tokens eagerly is ${value}: return a number of at least 0, or Infinity to forbid it`,
      }),
    );
  });

  it("refuses bad items as the other rules do", () => {
    expect(() => packByCost(tokens(0), { tokenBudgets: [64], maxItems: 4 }, () => 1)).toThrow(VitgraphError);
  });
});

describe("packByCost on random items", () => {
  it("loses no item and breaks no limit", () => {
    fc.assert(
      fc.property(itemSpecs(48), packLimits, costs, (items, limits, cost) => {
        expect(packingFaults(items, limits, packByCost(items, limits, cost))).toEqual([]);
      }),
    );
  });

  it("is never dearer than greedy", () => {
    fc.assert(
      fc.property(itemSpecs(64), packLimits, costs, (items, limits, cost) => {
        const byCost = costOfBatches(packByCost(items, limits, cost), cost);
        const greedy = costOfBatches(packGreedyAscending(items, limits), cost);
        expect(byCost).toBeLessThanOrEqual(greedy * (1 + 1e-9));
      }),
      { numRuns: 300 },
    );
  });

  it("comes within 2 % of what water would cost, on 64 items of common sizes", () => {
    const sizes = commonSizes();
    const limits = { tokenBudgets: powerOfTwoBudgets(64, 16_384), maxItems: 64 };
    const price = Float64Array.from({ length: 16_385 }, (_, n) =>
      n === 0 ? 0 : 100 + limits.tokenBudgets.find((budget) => budget >= n)!,
    );
    const pack = createCostPacker(limits, (_, budget) => (budget === null ? 1e9 : price[budget]!));
    for (let seed = 0; seed < 20; seed++) {
      const random = seededRandom(seed);
      const items = tokens(
        ...Array.from({ length: 64 }, () => sizes[Math.floor(random() * sizes.length)]!.tokens),
      );
      const total = items.reduce((sum, { outputTokens }) => sum + outputTokens, 0);
      const bound = lowerBound(landscapeOf(price, limits.tokenBudgets), total, 1);
      const found = pack(items).reduce((sum, { budget }) => sum + price[budget!]!, 0);
      expect(found).toBeLessThanOrEqual(bound * 1.02);
    }
  });

  it("is as cheap as the cheapest of all partitions, up to 9 items", () => {
    fc.assert(
      fc.property(itemSpecs(9), packLimits, costs, (items, limits, cost) => {
        const least = leastCostOfAllPartitions(items, limits, cost);
        expect(costOfBatches(packByCost(items, limits, cost), cost)).toBeCloseTo(least, 6);
      }),
      { numRuns: 150 },
    );
  });
});

/** Tries every partition: each item joins one of the groups before it, or starts its own. */
function leastCostOfAllPartitions(items: readonly ItemSpec[], limits: PackLimits, cost: BatchCost): number {
  const groups: ItemSpec[][] = [];
  const sum = (group: readonly ItemSpec[], count: (item: ItemSpec) => number): number =>
    group.reduce((total, item) => total + count(item), 0);
  const largest = Math.max(...limits.tokenBudgets);
  const maxFrames = limits.maxFrames ?? Number.POSITIVE_INFINITY;
  const groupCost = (group: readonly ItemSpec[]): number => {
    const total = sum(group, budgetTokensOf);
    const frames = sum(group, (item) => item.frames ?? 1);
    const fits = total <= largest && frames <= maxFrames && group.length <= limits.maxItems;
    if (group.length > 1 && !fits) return Number.POSITIVE_INFINITY;
    const budgets = frames > maxFrames ? [] : limits.tokenBudgets.filter((budget) => budget >= total);
    return Math.min(cost(total, null), ...budgets.map((budget) => cost(total, budget)));
  };
  const place = (index: number): number => {
    if (index === items.length) return groups.reduce((total, group) => total + groupCost(group), 0);
    let least = Number.POSITIVE_INFINITY;
    for (const group of groups) {
      group.push(items[index]!);
      least = Math.min(least, place(index + 1));
      group.pop();
    }
    groups.push([items[index]!]);
    least = Math.min(least, place(index + 1));
    groups.pop();
    return least;
  };
  return place(0);
}
