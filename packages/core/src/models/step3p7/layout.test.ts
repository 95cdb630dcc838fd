import { expect, test } from "vitest";
import { stepLayout } from "./layout.js";

test("a convolution reads three rows of three cells around every second cell, with padding before the first", () => {
  const { convolutionRows } = stepLayout({ t: 1, h: 4, w: 4 }, 4);
  const windows = Array.from({ length: 4 }, (_, at) => [
    ...convolutionRows!.patches.subarray(at * 9, at * 9 + 9),
  ]);
  expect(windows).toEqual([
    [-1, -1, -1, -1, 0, 1, -1, 4, 5],
    [-1, -1, -1, 1, 2, 3, 5, 6, 7],
    [-1, 4, 5, -1, 8, 9, -1, 12, 13],
    [5, 6, 7, 9, 10, 11, 13, 14, 15],
  ]);
  expect([...convolutionRows!.merged]).toEqual([-1, -1, -1, -1, 0, 1, -1, 2, 3]);
});

test("rows of a tile and of the whole image after it lead into their own cells", () => {
  const { convolutionRows, segments } = stepLayout({ t: 2, h: 4, w: 4, next: { t: 1, h: 8, w: 4 } }, 4);
  expect(segments.cu_seqlens).toEqual([16, 16, 32]);
  const firsts = (rows: Int32Array, cells: readonly number[]) => {
    let at = 0;
    return cells.map((count) => {
      const own = [...rows.subarray(at, at + count * 9)].filter((row) => row >= 0);
      at += count * 9;
      return [Math.min(...own), Math.max(...own)];
    });
  };
  expect(firsts(convolutionRows!.patches, [4, 4, 8])).toEqual([
    [0, 15],
    [16, 31],
    [32, 63],
  ]);
  expect(firsts(convolutionRows!.merged, [1, 1, 2])).toEqual([
    [0, 3],
    [4, 7],
    [8, 15],
  ]);
});

test("RoPE takes the column before the row", () => {
  const { positions } = stepLayout({ t: 1, h: 4, w: 4 }, 4).patchTables();
  expect([...positions!.subarray(0, 4)]).toEqual([0, 0, 1, 0]);
});
