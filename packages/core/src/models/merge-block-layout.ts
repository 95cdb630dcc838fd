/** The patch order of most towers: merge blocks in raster order, and raster order within each block. */
import type { Grid } from "../item.js";
import type { PatchTables } from "./patch-tables.js";
import type { GridLayout } from "./vision-model.js";

/**
 * Each frame is one segment.
 * @param tablesOf creates the patch tables from the result of {@link mergeBlockPositions}. Default: only `positions`
 */
export function mergeBlockLayout(
  grid: Grid,
  mergeSize: number,
  tablesOf: (positions: Int32Array) => PatchTables = (positions) => ({ positions }),
): GridLayout {
  return {
    patchTables: () => tablesOf(mergeBlockPositions(grid, mergeSize)),
    segments: { cu_seqlens: new Array<number>(grid.t).fill(grid.h * grid.w) },
  };
}

/** i32 [t·h·w, 2]: row and column of each patch, the same for every frame. */
export function mergeBlockPositions({ t, h, w }: Grid, mergeSize: number): Int32Array {
  const frame = new Int32Array(h * w * 2);
  let at = 0;
  for (let blockRow = 0; blockRow < h; blockRow += mergeSize) {
    for (let blockColumn = 0; blockColumn < w; blockColumn += mergeSize) {
      for (let row = blockRow; row < blockRow + mergeSize; row++) {
        for (let column = blockColumn; column < blockColumn + mergeSize; column++) {
          frame[at++] = row;
          frame[at++] = column;
        }
      }
    }
  }
  const positions = new Int32Array(t * frame.length);
  for (let index = 0; index < t; index++) positions.set(frame, index * frame.length);
  return positions;
}
