import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byPosition, itemSpecs, packingFaults, packLimits } from "../test/arbitraries.js";
import { packFirstFitDecreasing as pack } from "./index.js";

const packFirstFitDecreasing = byPosition(pack);

const tokens = (...sizes: number[]) =>
  sizes.map((outputTokens) => ({ inputSize: 4 * outputTokens, outputTokens }));

describe("packFirstFitDecreasing", () => {
  it("fills the gaps of the large items with small ones", () => {
    const batches = packFirstFitDecreasing(tokens(20, 60, 40, 80), { tokenBudgets: [50, 100], maxItems: 4 });
    expect(batches.map(({ items, budget }) => [items, budget])).toEqual([
      [[3, 0], 100],
      [[1, 2], 100],
    ]);
  });

  it("goes on to a later batch where the first has no item left to give", () => {
    const batches = packFirstFitDecreasing(tokens(50, 40, 30, 20), { tokenBudgets: [100], maxItems: 2 });
    expect(batches.map(({ items }) => items)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  it("leaves items above every budget alone", () => {
    const batches = packFirstFitDecreasing(tokens(5, 300, 200), { tokenBudgets: [100], maxItems: 4 });
    expect(batches.map(({ items, budget }) => [items, budget])).toEqual([
      [[1], null],
      [[2], null],
      [[0], 100],
    ]);
  });

  it("loses no item and breaks no limit", () => {
    fc.assert(
      fc.property(itemSpecs(40), packLimits, (items, limits) => {
        expect(packingFaults(items, limits, packFirstFitDecreasing(items, limits))).toEqual([]);
      }),
    );
  });
});
