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
  const items = (...sizes: number[]) =>
    sizes.map((inputSize, index) => ({ index, spec: { inputSize, outputTokens: inputSize / 4 } }));
  /** Linear work and attention, which grows with the square. */
  const cost = ({ inputSize }: Pick<ItemSpec, "inputSize">): number => inputSize + inputSize ** 2 / 1000;
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

  it("balances a dear item against several cheap ones", () => {
    // By size, 4000 | 2000 + 2000 looks even. By cost it is 20 000 against 12 000, so the 800 belongs to the right.
    expect(assignRanks([4000, 2000, 2000, 800], 2).counts).toEqual([2, 2]);
    const ranks = assignRanksByCost(items(4000, 2000, 2000, 800), 2, cost);
    expect(ranks.map((rank) => rank.map(({ spec }) => spec.inputSize))).toEqual([[4000], [2000, 2000, 800]]);
  });

  it("improves on taking the dearest first", () => {
    // Dearest first gives 5 + 3 + 3 against 5 + 4; 5 + 5 against 4 + 3 + 3 is even.
    const ranks = assignRanksByCost(items(5, 5, 4, 3, 3), 2, ({ inputSize }) => inputSize);
    expect(ranks.map((rank) => sum(rank.map(({ spec }) => spec.inputSize)))).toEqual([10, 10]);
  });

  it("assigns every item once, and never peaks above vLLM's assignment", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40_000 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 8 }),
        (sizes, count) => {
          const ranks = assignRanksByCost(items(...sizes), count, cost);
          expect(ranks).toHaveLength(count);
          const assigned = ranks.flatMap((rank) => rank.map(({ index }) => index));
          expect(assigned.sort((a, b) => a - b)).toEqual(sizes.map((_, index) => index));
          const bySize = assignRanks(sizes, count);
          let start = 0;
          const loadsBySize = bySize.counts.map((own) => {
            const members = bySize.order.slice(start, start + own);
            start += own;
            return sum(members.map((index) => cost({ inputSize: sizes[index]! })));
          });
          const loads = ranks.map((rank) => sum(rank.map(({ spec }) => cost(spec))));
          expect(Math.max(...loads)).toBeLessThanOrEqual(Math.max(...loadsBySize) * (1 + 1e-9));
        },
      ),
    );
  });
});
