import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BatchCost,
  commonGrids,
  commonSizes,
  histogramOf,
  type PlanOptions,
  planBudgets,
  powerOfTwoBudgets,
  reportBudgets,
  type SizeCount,
} from "./index.js";
import { paddedTokens } from "./plan-budgets.js";

describe("planBudgets", () => {
  it("captures the sizes that come most", () => {
    const histogram = [
      { tokens: 100, weight: 10 },
      { tokens: 110, weight: 1 },
      { tokens: 400, weight: 10 },
    ];
    expect(planBudgets(histogram, { maxGraphs: 2 }).budgets).toEqual([110, 400]);
    expect(planBudgets(histogram, { maxGraphs: 3 })).toMatchObject({ budgets: [100, 110, 400], padding: 0 });
  });

  it("serves all sizes with one graph where it has to", () => {
    expect(planBudgets([50, 60, 200], { maxGraphs: 1 })).toMatchObject({
      budgets: [200],
      expectedCost: 200,
      padding: 1 - 310 / 600,
      eagerShare: 0,
      byBudget: [{ budget: 200, share: 1 }],
    });
  });

  it("leaves rare large sizes to eager where a cost allows it", () => {
    const cost: BatchCost = (tokens, budget) => (budget === null ? 50 + 2 * tokens : budget);
    const histogram = [
      { tokens: 100, weight: 99 },
      { tokens: 5000, weight: 1 },
    ];
    const plan = planBudgets(histogram, { maxGraphs: 1, cost });
    expect(plan.budgets).toEqual([100]);
    expect(plan.eagerShare).toBeCloseTo(0.01);
    expect(plan.expectedCost).toBeCloseTo((99 * 100 + 10_050) / 100);
  });

  it("captures nothing where eager is always cheaper", () => {
    const cost: BatchCost = (_, budget) => (budget === null ? 1 : 2);
    expect(planBudgets([10, 20], { maxGraphs: 4, cost })).toMatchObject({
      budgets: [],
      eagerShare: 1,
      padding: 0,
    });
  });

  it("takes no more graphs than help", () => {
    expect(planBudgets([64, 64, 128], { maxGraphs: 8 }).budgets).toEqual([64, 128]);
    expect(
      planBudgets([64, 128], { maxGraphs: 8, cost: (_, budget) => (budget === null ? 2 : 1) }).budgets,
    ).toEqual([128]);
  });

  it("rounds budgets up, and joins the sizes that then share one", () => {
    const plan = planBudgets([9, 15, 17, 100], { maxGraphs: 4, multipleOf: 16, smallestBudget: 32 });
    expect(plan.budgets).toEqual([32, 112]);
  });

  it("counts a size that is given twice as one", () => {
    expect(histogramOf([5, 3, { tokens: 5, weight: 2 }, { tokens: 4, weight: 0 }])).toEqual([
      { tokens: 3, weight: 1 },
      { tokens: 5, weight: 3 },
    ]);
  });

  const histograms = fc.array(
    fc.record({ tokens: fc.integer({ min: 1, max: 60 }), weight: fc.integer({ min: 1, max: 9 }) }),
    { minLength: 1, maxLength: 8 },
  );

  it("is as cheap as the cheapest of all choices of sizes", () => {
    const options = fc.record({
      maxGraphs: fc.integer({ min: 1, max: 4 }),
      launch: fc.constantFrom(5, 40, Number.POSITIVE_INFINITY),
    });
    fc.assert(
      fc.property(histograms, options, (histogram, { maxGraphs, launch }) => {
        const cost: BatchCost = (tokens, budget) => (budget === null ? launch + tokens : 3 + budget);
        let least = Number.POSITIVE_INFINITY;
        const sizes = histogramOf(histogram).map(({ tokens }) => tokens);
        for (let mask = 0; mask < 1 << sizes.length; mask++) {
          const budgets = sizes.filter((_, i) => (mask >> i) & 1);
          if (budgets.length > maxGraphs) continue;
          least = Math.min(least, reportBudgets(histogram, budgets, cost).expectedCost);
        }
        expect(planBudgets(histogram, { maxGraphs, cost }).expectedCost).toBeCloseTo(least, 9);
      }),
      { numRuns: 300 },
    );
  });

  it("reports what it planned for", () => {
    fc.assert(
      fc.property(histograms, fc.integer({ min: 1, max: 5 }), (histogram, maxGraphs) => {
        const plan = planBudgets(histogram, { maxGraphs });
        expect(plan).toMatchObject(reportBudgets(histogram, plan.budgets));
        expect(plan.byBudget.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
        expect(plan.padding).toBeGreaterThanOrEqual(0);
        expect(plan.padding).toBeLessThan(1);
      }),
    );
  });

  it.each<[string, Iterable<SizeCount | number>, Partial<PlanOptions>, string]>([
    ["no sizes", [], {}, "the histogram has no sizes: give at least one size with a weight above 0"],
    [
      "a size of 0",
      [0],
      {},
      "a size of 0 tokens is not a positive integer: give the tokens of an item after the merge",
    ],
    [
      "a negative weight",
      [{ tokens: 4, weight: -1 }],
      {},
      "the weight -1 of 4 tokens is not a number of at least 0: give a count or a share",
    ],
    [
      "no graphs",
      [4],
      { maxGraphs: 0 },
      "maxGraphs 0 is not a positive integer: give a whole number of at least 1",
    ],
    [
      "odd multiples",
      [4],
      { multipleOf: 1.5 },
      "multipleOf 1.5 is not a positive integer: give a whole number of at least 1",
    ],
    [
      "a cost that is infinite for all budgets",
      [4],
      { cost: () => Number.POSITIVE_INFINITY },
      "every set of budgets has an infinite cost: give a cost for eager runs",
    ],
  ])("refuses %s", (_, histogram, options, message) => {
    expect(() => planBudgets(histogram, { maxGraphs: 2, ...options })).toThrow(
      expect.objectContaining({ code: "VG_ARGUMENT_INVALID", message }),
    );
  });
});

describe("reportBudgets", () => {
  it("counts sizes above every budget as eager, without padding", () => {
    const report = reportBudgets([10, 30], [20, 20], (tokens, budget) => budget ?? tokens + 5);
    expect(report).toEqual({
      budgets: [20],
      expectedCost: (15 + 35) / 2,
      padding: 0,
      eagerShare: 1,
      byBudget: [{ budget: 20, share: 0, padding: 0 }],
    });
  });

  it("costs infinitely much where no budget holds a size and eager is no choice", () => {
    expect(reportBudgets([10, 30], [20]).expectedCost).toBe(Number.POSITIVE_INFINITY);
    expect(paddedTokens(30, null)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("the common grids", () => {
  it("are the hundred of the list, the 94 × 94 ones with 2209 tokens", () => {
    expect(commonGrids).toHaveLength(100);
    expect(new Set(commonGrids.map(({ h, w }) => `${h}x${w}`)).size).toBe(100);
    expect(commonGrids[23]).toEqual({ t: 1, h: 38, w: 50 });
    expect(
      commonSizes()
        .slice(0, 10)
        .map(({ tokens }) => tokens),
    ).toEqual([961, 256, 625, 361, 1444, 2209, 1024, 3844, 1156, 2500]);
    expect(Math.max(...commonSizes().map(({ tokens }) => tokens))).toBe(8836);
    expect(commonSizes()[9]!.weight).toBe(1 / 10);
  });

  it("pad 26.0 % in power-of-two budgets and 10.5 % in as many planned ones", () => {
    const powers = powerOfTwoBudgets(64, 16_384);
    expect(powers).toHaveLength(9);
    expect(reportBudgets(commonSizes(), powers).padding).toBeCloseTo(0.2599, 4);
    const plan = planBudgets(commonSizes(), { maxGraphs: 9 });
    expect(plan.budgets).toEqual([256, 441, 625, 961, 1457, 2500, 4096, 6400, 8836]);
    expect(plan.padding).toBeCloseTo(0.1048, 4);
  });
});
