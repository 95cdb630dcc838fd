import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assignRanks, assignRanksByCost, type ItemSpec } from "./index.js";

// Vectors of vLLM's tests/models/test_vision.py.
describe("assignRanks", () => {
  it.each<[number[], number, number[], number[], number[]]>([
    [[], 2, [], [0, 0], [0, 0]],
    [[100, 200], 4, [1, 0], [1, 1, 0, 0], [200, 100, 0, 0]],
    [[100, 200, 300], 1, [2, 1, 0], [3], [600]],
    [[100, 100, 100, 100], 2, [0, 2, 1, 3], [2, 2], [200, 200]],
    [[1000, 100, 200, 50], 2, [0, 2, 1, 3], [1, 3], [1000, 350]],
  ])("%j on %i ranks", (sizes, ranks, order, counts, loads) => {
    expect(assignRanks(sizes, ranks)).toEqual({ order, counts, loads });
  });

  it.each([0, 1.5, Number.NaN])("refuses %d ranks", (ranks) => {
    expect(() => assignRanks([1], ranks)).toThrow(
      expect.objectContaining({
        code: "VG_ARGUMENT_INVALID",
        message: `${ranks} ranks is not a positive integer: give at least one rank`,
      }),
    );
  });

  it("refuses sizes that are not numbers", () => {
    expect(() => assignRanks([1, Number.NaN], 2)).toThrow(
      expect.objectContaining({
        code: "VG_ARGUMENT_INVALID",
        message: "item 1 has size or cost NaN: give a finite number of at least 0",
      }),
    );
  });
});

describe("assignRanksByCost", () => {
  const items = (...sizes: number[]): ItemSpec[] =>
    sizes.map((inputSize) => ({ inputSize, outputTokens: inputSize / 4 }));
  /** Linear work and attention, which grows with the square. */
  const cost = ({ inputSize }: ItemSpec): number => inputSize + inputSize ** 2 / 1000;

  it("gives a dear item company only where that is cheap", () => {
    // By size, 4000 | 2000 + 2000 looks even. By cost it is 20 000 against 12 000, so the 800 belongs to the right.
    const specs = items(4000, 2000, 2000, 800);
    expect(
      assignRanks(
        specs.map(({ inputSize }) => inputSize),
        2,
      ).counts,
    ).toEqual([2, 2]);
    const { counts, loads } = assignRanksByCost(specs, 2, cost);
    expect(counts).toEqual([1, 3]);
    expect(loads).toEqual([20_000, 6000 + 6000 + 1440]);
  });

  it("improves on taking the dearest first", () => {
    // Dearest first gives 5 + 3 + 3 against 5 + 4; 5 + 5 against 4 + 3 + 3 is even.
    const { loads } = assignRanksByCost(items(5, 5, 4, 3, 3), 2, ({ inputSize }) => inputSize);
    expect(loads).toEqual([10, 10]);
  });

  it("assigns every item once, and never peaks above vLLM's assignment", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 8 }),
        (sizes, ranks) => {
          const specs = items(...sizes);
          const { order, counts, loads } = assignRanksByCost(specs, ranks, cost);
          expect([...order].sort((a, b) => a - b)).toEqual(sizes.map((_, index) => index));
          expect(counts).toHaveLength(ranks);
          let start = 0;
          counts.forEach((count, rank) => {
            const own = order.slice(start, start + count).map((index) => cost(specs[index]!));
            expect(loads[rank]).toBeCloseTo(
              own.reduce((a, b) => a + b, 0),
              3,
            );
            start += count;
          });
          const bySize = assignRanks(sizes, ranks);
          let peak = 0;
          bySize.counts.reduce((from, count) => {
            const own = bySize.order.slice(from, from + count).map((index) => cost(specs[index]!));
            peak = Math.max(
              peak,
              own.reduce((a, b) => a + b, 0),
            );
            return from + count;
          }, 0);
          expect(Math.max(...loads)).toBeLessThanOrEqual(peak * (1 + 1e-9));
        },
      ),
    );
  });
});
