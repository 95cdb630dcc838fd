/**
 * The layout of families whose items have patches in raster order. In the tower, the patches of a token are adjacent.
 */
import type { Grid } from "../item.js";
import { mergeBlockPositions } from "./merge-block-layout.js";
import { type PatchTables, plainTaps } from "./patch-tables.js";
import type { GridLayout } from "./vision-model.js";

/**
 * Each frame is one segment.
 * @param tablesOf creates the patch tables from the result of {@link mergeBlockPositions}. Default: the taps of a table
 *   with one row per patch of a frame, in raster order
 */
export function rasterLayout(
  grid: Grid,
  merge: number,
  tablesOf: (positions: Int32Array) => PatchTables = (positions) => tapsOfCells(positions, grid),
): GridLayout {
  const { t, h, w } = grid;
  const positions = mergeBlockPositions(grid, merge);
  const patchOrder = cells(positions, w).map((cell, patch) => cell + Math.floor(patch / (h * w)) * h * w);
  return {
    patchTables: () => tablesOf(positions),
    patchOrder,
    segments: { cu_seqlens: new Array<number>(t).fill(h * w) },
  };
}

/** The taps of a table with one row per patch of a frame, in raster order. */
export function tapsOfCells(positions: Int32Array, { w }: Grid): PatchTables {
  return plainTaps(cells(positions, w));
}

/** Cell indices in raster order. */
function cells(positions: Int32Array, width: number): Int32Array {
  return Int32Array.from({ length: positions.length / 2 }, (_, patch) => {
    return (positions[2 * patch] as number) * width + (positions[2 * patch + 1] as number);
  });
}
