import { describe, expect, it } from "vitest";
import { countInputPatches, countOutputTokens, type Grid, itemSpecOfGrid } from "./index.js";

// Vectors of vLLM's tests/v1/cudagraph/test_encoder_cudagraph.py (February 2026).
describe("countInputPatches", () => {
  it.each<[Grid[], number]>([
    [[{ t: 1, h: 14, w: 14 }], 196],
    [
      [
        { t: 1, h: 14, w: 14 },
        { t: 1, h: 28, w: 28 },
      ],
      980,
    ],
    [[{ t: 2, h: 14, w: 14 }], 392],
    [
      [
        { t: 2, h: 8, w: 8 },
        { t: 1, h: 4, w: 4 },
      ],
      144,
    ],
    [[], 0],
  ])("%j has %i patches", (grids, patches) => {
    expect(countInputPatches(grids)).toBe(patches);
  });
});

describe("countOutputTokens", () => {
  it.each<[Grid[], number, number]>([
    [[{ t: 1, h: 14, w: 14 }], 2, 49],
    [
      [
        { t: 1, h: 14, w: 14 },
        { t: 1, h: 28, w: 28 },
      ],
      2,
      245,
    ],
    [[{ t: 1, h: 14, w: 14 }], 1, 196],
    [[{ t: 2, h: 14, w: 14 }], 2, 98],
    [[{ t: 1, h: 12, w: 12 }], 4, 9],
    [[], 2, 0],
  ])("%j merged by %i has %i tokens", (grids, mergeSize, tokens) => {
    expect(countOutputTokens(grids, mergeSize)).toBe(tokens);
  });

  it.each([1, 2, 4])("merges exactly by %i", (m) => {
    const grids: Grid[] = [
      { t: 1, h: 4 * m, w: 4 * m },
      { t: 2, h: 6 * m, w: 6 * m },
    ];
    expect(countOutputTokens(grids, m)).toBe(16 + 72);
  });
});

describe("itemSpecOfGrid", () => {
  it("gives the numbers of a video", () => {
    expect(itemSpecOfGrid({ t: 3, h: 8, w: 4 }, 2)).toEqual({ inputSize: 96, outputTokens: 24, frames: 3 });
  });

  it("adds up the grids of tiles and their thumbnail", () => {
    const grid = { t: 3, h: 8, w: 4, next: { t: 1, h: 4, w: 6 } };
    expect(itemSpecOfGrid(grid, 2)).toEqual({ inputSize: 120, outputTokens: 30, frames: 4 });
    expect(() => itemSpecOfGrid({ ...grid, next: { t: 1, h: 3, w: 6 } }, 2)).toThrow("grid 1x3x6 does not");
  });

  it.each<[Grid, number, string, string]>([
    [
      { t: 1, h: 5, w: 4 },
      2,
      "VG_ITEM_INVALID",
      "grid 1x5x4 does not divide by the merge size 2: resize the image so that rows and columns of patches are multiples of 2",
    ],
    [
      { t: 1, h: 0, w: 4 },
      2,
      "VG_ITEM_INVALID",
      "grid 1x0x4 is not made of positive integers: give frames, rows and columns of patches",
    ],
    [
      { t: 1, h: 4, w: 4 },
      0,
      "VG_ARGUMENT_INVALID",
      "merge size 0 is not a positive integer: use the model's spatial_merge_size",
    ],
  ])("refuses %j merged by %i", (grid, mergeSize, code, message) => {
    expect(() => itemSpecOfGrid(grid, mergeSize)).toThrow(expect.objectContaining({ code, message }));
  });
});
