import { expect, test } from "vitest";
import { mergeBlockPositions } from "./merge-block-layout.js";
import { bilinearTaps, type PatchTables } from "./patch-tables.js";
import { rasterLayout } from "./raster-layout.js";

const still = (h: number, w: number) => ({ t: 1, h, w });

/** What a table whose row r is [r] gives at each patch. */
function sampled({ tap_rows, tap_weights }: PatchTables, taps: number): number[] {
  return Array.from({ length: tap_rows!.length / taps }, (_, patch) => {
    let sum = 0;
    for (let tap = patch * taps; tap < (patch + 1) * taps; tap++) sum += tap_rows![tap]! * tap_weights![tap]!;
    return sum;
  });
}

test("positions go by merge blocks, and repeat for each frame", () => {
  const frame = [0, 0, 0, 1, 1, 0, 1, 1, 0, 2, 0, 3, 1, 2, 1, 3];
  expect([...mergeBlockPositions({ t: 2, h: 2, w: 4 }, 2)]).toEqual([...frame, ...frame]);
});

test("plain taps are the rows of the table, in the tower's order", () => {
  const taps = rasterLayout(still(2, 4), 2).patchTables();
  expect([...taps.tap_rows!]).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
  expect([...taps.tap_weights!]).toEqual(new Array(8).fill(1));
});

test("bilinear taps put the table's corners on the grid's", () => {
  // 3² rows over 5 × 5 patches: row 2, column 1 is half way between 1·3 + 0 and 1·3 + 1.
  const values = sampled(bilinearTaps(mergeBlockPositions(still(5, 5), 1), still(5, 5), 3), 4);
  expect([values[0], values[4], values[20], values[24], values[2 * 5 + 1]]).toEqual([0, 2, 6, 8, 3.5]);
});

test("a side of one patch has the table's first row, and every tap lies in the table", () => {
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
