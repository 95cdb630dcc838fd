import { describe, expect, it } from "vitest";
import { findBudget, powerOfTwoBudgets } from "./index.js";

// Vectors of vLLM's TestFindBudgetGraph.
describe("findBudget", () => {
  it.each<[number, number[], number | null]>([
    [2048, [2048, 4096, 8192], 2048],
    [100, [2048, 4096, 8192], 2048],
    [0, [2048, 4096, 8192], 2048],
    [2049, [2048, 4096, 8192], 4096],
    [4097, [2048, 4096, 8192], 8192],
    [9000, [2048, 4096, 8192], null],
    [1000, [2048], 2048],
    [3000, [2048], null],
    [3000, [8192, 2048, 4096], 4096],
    [1, [], null],
  ])("%i tokens in %j: %s", (tokens, budgets, expected) => {
    expect(findBudget(tokens, budgets)).toBe(expected);
  });
});

// Vectors of vLLM's TestGenerateBudgets; the last is its rule where the range is upside down.
describe("powerOfTwoBudgets", () => {
  it.each<[number, number, number[]]>([
    [64, 1024, [64, 128, 256, 512, 1024]],
    [64, 800, [64, 128, 256, 512, 800]],
    [64, 64, [64]],
    [64, 8192, [64, 128, 256, 512, 1024, 2048, 4096, 8192]],
    [200, 128, [128]],
  ])("from %i to %i", (smallest, largest, budgets) => {
    expect(powerOfTwoBudgets(smallest, largest)).toEqual(budgets);
  });

  it("refuses a range that would never end", () => {
    expect(() => powerOfTwoBudgets(0, 64)).toThrow(
      expect.objectContaining({
        code: "VG_ARGUMENT_INVALID",
        message:
          "budgets from 0 to 64 are not positive integers: give the fewest and the most tokens that a batch can have",
      }),
    );
  });
});
