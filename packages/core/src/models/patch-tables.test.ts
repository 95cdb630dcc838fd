import { expect, test } from "vitest";
import { withClassRows, withRotatedClassRows } from "./class-row.js";
import { mergeBlockPositions } from "./merge-block-layout.js";
import {
  bicubicTaps,
  bilinearTaps,
  halfPixelTaps,
  offsetTapRows,
  type PatchTables,
  zeroPaddedTaps,
} from "./patch-tables.js";
import { rasterLayout } from "./raster-layout.js";

const still = (h: number, w: number) => ({ t: 1, h, w });

/** The value of each patch, sampled from a table with row r = [r]. */
function sampled({ tap_rows, tap_weights }: PatchTables, taps: number): number[] {
  return Array.from({ length: tap_rows!.length / taps }, (_, patch) => {
    let sum = 0;
    for (let tap = patch * taps; tap < (patch + 1) * taps; tap++) sum += tap_rows![tap]! * tap_weights![tap]!;
    return sum;
  });
}

test("positions are in merge-block order, and repeat for each frame", () => {
  const frame = [0, 0, 0, 1, 1, 0, 1, 1, 0, 2, 0, 3, 1, 2, 1, 3];
  expect([...mergeBlockPositions({ t: 2, h: 2, w: 4 }, 2)]).toEqual([...frame, ...frame]);
});

test("plain taps are the rows of the table, in the tower's order", () => {
  const taps = rasterLayout(still(2, 4), 2).patchTables();
  expect([...taps.tap_rows!]).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
  expect([...taps.tap_weights!]).toEqual(new Array(8).fill(1));
});

test("bilinear taps align the corners of the table with those of the grid", () => {
  // 3² rows over 5 × 5 patches: row 2, column 1 is half way between 1·3 + 0 and 1·3 + 1.
  const values = sampled(bilinearTaps(mergeBlockPositions(still(5, 5), 1), still(5, 5), 3), 4);
  expect([values[0], values[4], values[20], values[24], values[2 * 5 + 1]]).toEqual([0, 2, 6, 8, 3.5]);
});

test("a side of one patch reads the table's first row, and all taps are within the table", () => {
  expect(sampled(bilinearTaps(mergeBlockPositions(still(1, 3), 1), still(1, 3), 3), 4)).toEqual([0, 1, 2]);
  for (const [h, w, side] of [
    [1, 1, 1],
    [7, 2, 1],
    [9, 31, 4],
    [100, 3, 48],
  ] as const) {
    const { tap_rows, tap_weights } = bilinearTaps(mergeBlockPositions(still(h, w), 1), still(h, w), side);
    expect(Math.max(...tap_rows!)).toBeLessThan(side * side);
    expect(Math.min(...tap_rows!)).toBe(0);
    for (let tap = 0; tap < tap_weights!.length; tap += 4) {
      const sum = [0, 1, 2, 3].reduce((total, corner) => total + tap_weights![tap + corner]!, 0);
      expect(sum).toBeCloseTo(1, 6);
    }
  }
});

// torch 2.13: F.interpolate of 5 × 5 cells whose values are 0, 1, …, 6, 0, 1, … to 3 × 7, align_corners=False; and
// F.grid_sample with its default padding_mode="zeros".
const TORCH = {
  bicubic: [
    ...[1.60647, 2.43251, 2.33058, 1.09259, 1.60725, 2.78064, 3.59081, 2.92128, 3.47522, 4.32945, 5],
    ...[6.43586, 3.58601, -0.4723, 4.61365, 2.00734, 0.32359, 1.51852, 2.14655, 3.20656, 4.01674],
  ],
  bilinear: [
    ...[1.66667, 2.2381, 2.28571, 1.33333, 2.04762, 2.7619, 3.33333, 3, 3.57143, 4.28571, 5],
    ...[5.71429, 3.42857, 0, 4.33333, 2.2381, 0.95238, 1.66667, 2.38095, 3.09524, 3.66667],
  ],
  "zero-padded bilinear": [
    ...[1.42857, 2.2381, 2.28571, 1.33333, 2.04762, 2.7619, 2.85714, 2.57143, 3.57143, 4.28571, 5],
    ...[5.71429, 3.42857, 0, 3.71428, 2.2381, 0.95238, 1.66667, 2.38095, 3.09524, 3.14286],
  ],
};

test.each([
  ["bicubic", bicubicTaps, 16],
  ["bilinear", halfPixelTaps, 4],
  ["zero-padded bilinear", zeroPaddedTaps, 4],
] as const)("%s taps equal torch's interpolation with half-pixel centres", (filter, tapsOf, taps) => {
  const grid = still(3, 7);
  const { tap_rows, tap_weights } = tapsOf(mergeBlockPositions(grid, 1), grid, 5);
  for (const [patch, value] of TORCH[filter].entries()) {
    let sum = 0;
    for (let tap = patch * taps; tap < (patch + 1) * taps; tap++)
      sum += (tap_rows![tap]! % 7) * tap_weights![tap]!;
    expect(sum).toBeCloseTo(value, 4);
  }
});

test("offsetTapRows skips additional rows at the start of the table", () => {
  const taps = offsetTapRows(rasterLayout(still(1, 2), 1).patchTables(), 3);
  expect([...taps.tap_rows!]).toEqual([3, 4]);
});

test("in a raster layout, patches of the second frame follow those of the first and read the same table rows", () => {
  const { patchOrder, patchTables } = rasterLayout({ t: 2, h: 2, w: 2 }, 2);
  expect([...patchOrder!]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect([...patchTables().tap_rows!]).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
});

test("each frame has a class row before its patches, which is dropped after the tower", () => {
  const grid = { t: 2, h: 1, w: 2 };
  const { rowSources, patchRows, segments } = withClassRows(grid, rasterLayout(grid, 1));
  expect([...rowSources]).toEqual([-1, 0, 1, -1, 2, 3]);
  expect([...patchRows]).toEqual([1, 2, 4, 5]);
  expect(segments.cu_seqlens).toEqual([3, 3]);
});

test("rowPositions has the position of the class row before those of each frame's patches", () => {
  const grid = { t: 2, h: 1, w: 2 };
  const positions = mergeBlockPositions(grid, 1);
  const { rowPositions } = withRotatedClassRows(grid, rasterLayout(grid, 1), positions, [8, 9]);
  expect([...rowPositions!]).toEqual([8, 9, 0, 0, 0, 1, 8, 9, 0, 0, 0, 1]);
});
