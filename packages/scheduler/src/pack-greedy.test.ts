import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byPosition, itemSpecs, packingFaults, packLimits } from "../test/arbitraries.js";
import { type ItemSpec, itemSpecOfGrid, type PackLimits, packGreedyAscending as pack } from "./index.js";

const packGreedyAscending = byPosition(pack);

const tokens = (...sizes: number[]): ItemSpec[] =>
  sizes.map((outputTokens) => ({ inputSize: 4 * outputTokens, outputTokens }));

const shape = (batches: ReturnType<typeof packGreedyAscending>): [readonly number[], number | null][] =>
  batches.map(({ items, budget }) => [items, budget]);

// The grids and limits of vLLM's TestEncoderCudaGraphCaptureReplay and …VideoReplay: merge 2, budgets 16 and 64.
describe("packGreedyAscending on vLLM's cases", () => {
  const limits: PackLimits = { tokenBudgets: [16, 64], maxItems: 4 };
  it.each<[string, [t: number, h: number, w: number][], PackLimits, [number[], number | null][]]>([
    [
      "two images share a replay",
      [
        [1, 4, 4],
        [1, 4, 4],
      ],
      limits,
      [[[0, 1], 16]],
    ],
    [
      "a small and a larger image",
      [
        [1, 4, 4],
        [1, 8, 8],
      ],
      limits,
      [[[0, 1], 64]],
    ],
    ["larger than every budget: eager", [[1, 18, 18]], limits, [[[0], null]]],
    [
      "more images than a batch holds: two replays",
      new Array<[number, number, number]>(8).fill([1, 4, 4]),
      limits,
      [
        [[0, 1, 2, 3], 16],
        [[4, 5, 6, 7], 16],
      ],
    ],
    [
      "two videos",
      [
        [2, 4, 4],
        [2, 4, 4],
      ],
      { ...limits, maxFrames: 8 },
      [[[0, 1], 16]],
    ],
    [
      "a video and an image",
      [
        [2, 4, 4],
        [1, 4, 4],
      ],
      { ...limits, maxFrames: 8 },
      [[[1, 0], 16]],
    ],
    ["a video larger than every budget", [[2, 18, 18]], { ...limits, maxFrames: 8 }, [[[0], null]]],
  ])("%s", (_, grids, caseLimits, expected) => {
    const items = grids.map(([t, h, w]) => itemSpecOfGrid({ t, h, w }, 2));
    expect(shape(packGreedyAscending(items, caseLimits))).toEqual(expected);
  });
});

describe("packGreedyAscending", () => {
  it("takes items ascending and cuts at the largest budget", () => {
    const batches = packGreedyAscending(tokens(60, 10, 50, 20), { tokenBudgets: [32, 64, 100], maxItems: 8 });
    expect(shape(batches)).toEqual([
      [[1, 3, 2], 100],
      [[0], 64],
    ]);
  });

  it("keeps equal items in the order given", () => {
    const batches = packGreedyAscending(tokens(5, 3, 5, 3, 5), { tokenBudgets: [100], maxItems: 8 });
    expect(shape(batches)).toEqual([[[1, 3, 0, 2, 4], 100]]);
  });

  it("finds the budget in budgets of any order", () => {
    expect(
      shape(packGreedyAscending(tokens(3000), { tokenBudgets: [8192, 2048, 4096], maxItems: 1 })),
    ).toEqual([[[0], 4096]]);
  });

  it("counts frames, which vLLM does not", () => {
    const video = { inputSize: 64, outputTokens: 16, frames: 3 };
    const batches = packGreedyAscending([video, video, video], {
      tokenBudgets: [64],
      maxItems: 8,
      maxFrames: 6,
    });
    expect(shape(batches)).toEqual([
      [[0, 1], 64],
      [[2], 64],
    ]);
  });

  it("runs an item of too many frames alone and eagerly", () => {
    const items = [...tokens(8), { inputSize: 64, outputTokens: 16, frames: 9 }];
    expect(shape(packGreedyAscending(items, { tokenBudgets: [64], maxItems: 8, maxFrames: 8 }))).toEqual([
      [[0], 64],
      [[1], null],
    ]);
  });

  it("runs every item alone and eagerly without budgets", () => {
    expect(shape(packGreedyAscending(tokens(2, 1), { tokenBudgets: [], maxItems: 8 }))).toEqual([
      [[1], null],
      [[0], null],
    ]);
  });

  it("packs nothing into nothing", () => {
    expect(packGreedyAscending([], { tokenBudgets: [64], maxItems: 1 })).toEqual([]);
  });

  it("loses no item and breaks no limit", () => {
    fc.assert(
      fc.property(itemSpecs(40), packLimits, (items, limits) => {
        expect(packingFaults(items, limits, packGreedyAscending(items, limits))).toEqual([]);
      }),
    );
  });

  it("gives what vLLM's loop gives", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1500 }), { maxLength: 40 }),
        packLimits,
        (sizes, limits) => {
          const { maxFrames: _, ...unframed } = limits;
          expect(shape(packGreedyAscending(tokens(...sizes), unframed))).toEqual(
            vllmBatches(sizes, unframed),
          );
        },
      ),
    );
  });

  it.each<[string, Partial<PackLimits>, string]>([
    ["items", { maxItems: 0 }, "maxItems 0 is not a positive integer: give a whole number of at least 1"],
    [
      "frames",
      { maxFrames: 1.5 },
      "maxFrames 1.5 is not a positive integer: give a whole number of at least 1",
    ],
    [
      "budgets",
      { tokenBudgets: [64, -1] },
      "token budget -1 is not a positive integer: give a whole number of at least 1",
    ],
  ])("refuses limits of %s that mean nothing", (_, wrong, message) => {
    expect(() => packGreedyAscending([], { tokenBudgets: [64], maxItems: 4, ...wrong })).toThrow(
      expect.objectContaining({ code: "VG_ARGUMENT_INVALID", message }),
    );
  });

  it.each<[Partial<ItemSpec>, string]>([
    [{ outputTokens: Number.NaN }, "item 1 has outputTokens NaN: give a whole number of at least 1"],
    [{ outputTokens: 0 }, "item 1 has outputTokens 0: give a whole number of at least 1"],
    [{ budgetTokens: 0 }, "item 1 has budgetTokens 0: give a whole number of at least 1"],
    [{ inputSize: -4 }, "item 1 has inputSize -4: give a whole number of at least 0"],
    [{ frames: 0 }, "item 1 has frames 0: give a whole number of at least 1"],
  ])("refuses an item with %j", (wrong, message) => {
    expect(() =>
      packGreedyAscending([...tokens(4), { inputSize: 16, outputTokens: 4, ...wrong }], {
        tokenBudgets: [64],
        maxItems: 4,
      }),
    ).toThrow(expect.objectContaining({ code: "VG_ITEM_INVALID", message }));
  });
});

/** vLLM's loop, written after the description of `_execute_local`. */
function vllmBatches(sizes: readonly number[], limits: PackLimits): [number[], number | null][] {
  const budgets = [...limits.tokenBudgets].sort((a, b) => a - b);
  const order = sizes.map((_, i) => i).sort((a, b) => sizes[a]! - sizes[b]!);
  const batches: [number[], number | null][] = [];
  let current: number[] = [];
  let total = 0;
  const finish = (): void => {
    if (current.length > 0) batches.push([current, budgets.find((budget) => budget >= total) ?? null]);
    current = [];
    total = 0;
  };
  for (const index of order) {
    const fits = current.length < limits.maxItems && total + sizes[index]! <= budgets.at(-1)!;
    if (!fits) finish();
    current.push(index);
    total += sizes[index]!;
  }
  finish();
  return batches;
}
