import { describe, expect, it } from "vitest";
import { packedSizes } from "./index.js";

const LIMITS = { largestBudget: 1024, maxItems: 64 };

describe("packedSizes", () => {
  it("gives back the histogram, as shares, where items wait alone", () => {
    const sizes = packedSizes(
      [
        { tokens: 100, weight: 30 },
        { tokens: 400, weight: 10 },
      ],
      { ...LIMITS, waiting: 1 },
    );
    expect(sizes.map(({ tokens }) => tokens)).toEqual([100, 400]);
    expect(sizes[0]!.weight).toBeCloseTo(0.75, 2);
    expect(sizes[1]!.weight).toBeCloseTo(0.25, 2);
  });

  it("packs as vLLM does: up to the largest budget, and the items", () => {
    // 300, 600, 900, and of four that wait three and one.
    expect(packedSizes([300], { ...LIMITS, waiting: 4 })).toEqual([
      { tokens: 300, weight: expect.closeTo(0.2, 6) },
      { tokens: 600, weight: expect.closeTo(0.1, 6) },
      { tokens: 900, weight: expect.closeTo(0.2, 6) },
    ]);
    expect(packedSizes([300], { waiting: 2, largestBudget: 1024, maxItems: 1 })).toEqual([
      { tokens: 300, weight: expect.closeTo(1, 6) },
    ]);
  });

  it("keeps all tokens, and gives the same batches each time", () => {
    const histogram = [
      { tokens: 64, weight: 3 },
      { tokens: 700, weight: 1 },
    ];
    const sizes = packedSizes(histogram, { ...LIMITS, waiting: 8 });
    const mean = sizes.reduce((sum, { tokens, weight }) => sum + tokens * weight, 0);
    expect(mean).toBeCloseTo((64 * 3 + 700) / 4, -1);
    expect(packedSizes(histogram, { ...LIMITS, waiting: 8 })).toEqual(sizes);
  });

  it.each([0, 1.5, 9_999_999])("refuses %s waiting items", (waiting) => {
    expect(() => packedSizes([64], { ...LIMITS, waiting })).toThrow(
      /waiting .* is not an integer from 1 to 1024/,
    );
  });

  it("refuses a histogram without sizes", () => {
    expect(() => packedSizes([], { ...LIMITS, waiting: 1 })).toThrow(/no sizes/);
  });
});
