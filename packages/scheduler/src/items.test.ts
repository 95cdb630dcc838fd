import { describe, expect, it } from "vitest";
import { countInputPatches, countOutputTokens, type Grid, itemSpecOfGrid } from "./index.js";

// Vectors of vLLM's tests/v1/cudagraph/test_encoder_cudagraph.py (February 2026).
describe("countInputPatches", () => {
  it.each<[Grid[], number]>([
    [[[1, 14, 14]], 196],
    [
      [
        [1, 14, 14],
        [1, 28, 28],
      ],
      980,
    ],
    [[[2, 14, 14]], 392],
    [
      [
        [2, 8, 8],
        [1, 4, 4],
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
    [[[1, 14, 14]], 2, 49],
    [
      [
        [1, 14, 14],
        [1, 28, 28],
      ],
      2,
      245,
    ],
    [[[1, 14, 14]], 1, 196],
    [[[2, 14, 14]], 2, 98],
    [[[1, 12, 12]], 4, 9],
    [[], 2, 0],
  ])("%j merged by %i has %i tokens", (grids, mergeSize, tokens) => {
    expect(countOutputTokens(grids, mergeSize)).toBe(tokens);
  });

  it.each([1, 2, 4])("merges exactly by %i", (m) => {
    const grids: Grid[] = [
      [1, 4 * m, 4 * m],
      [2, 6 * m, 6 * m],
    ];
    expect(countOutputTokens(grids, m)).toBe(16 + 72);
  });
});

describe("itemSpecOfGrid", () => {
  it("gives the numbers of a video", () => {
    expect(itemSpecOfGrid([3, 8, 4], 2)).toEqual({ inputSize: 96, outputTokens: 24, frames: 3 });
  });

  it.each<[Grid, number, string, string]>([
    [
      [1, 5, 4],
      2,
      "VG_ITEM_INVALID",
      "grid 1x5x4 does not divide by the merge size 2: resize the image so that rows and columns of patches are multiples of 2",
    ],
    [
      [1, 0, 4],
      2,
      "VG_ITEM_INVALID",
      "grid 1x0x4 is not made of positive integers: give frames, rows and columns of patches",
    ],
    [
      [1, 4, 4],
      0,
      "VG_ARGUMENT_INVALID",
      "merge size 0 is not a positive integer: use the model's spatial_merge_size",
    ],
  ])("refuses %j merged by %i", (grid, mergeSize, code, message) => {
    expect(() => itemSpecOfGrid(grid, mergeSize)).toThrow(expect.objectContaining({ code, message }));
  });
});
