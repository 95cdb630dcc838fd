/** HunyuanOCR's output rows: a begin row, the rows of tokens with a newline after each, and an end row. */
import type { Grid } from "../../item.js";
import { halfPixelTaps, offsetTapRows } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import type { GridLayout } from "../vision-model.js";

/** Number of output rows. */
export function outputRows({ h, w }: Grid, merge: number): number {
  return (h / merge) * (w / merge + 1) + 2;
}

/** @param side cells along one side of the position table, without its first row */
export function lineLayout(grid: Grid, merge: number, side: number): GridLayout {
  const line = grid.w / merge + 1;
  const rows = outputRows(grid, merge);
  return {
    ...rasterLayout(grid, merge, (positions) => offsetTapRows(halfPixelTaps(positions, grid, side), 1)),
    // The begin and end rows hold newlines here; `tokenOrder` replaces them after the last product.
    tokenSources: Int32Array.from({ length: rows }, (_, row) => {
      const isToken = row > 0 && row < rows - 1 && row % line !== 0;
      return isToken ? row - 1 - Math.floor((row - 1) / line) : -1;
    }),
    tokenOrder: Int32Array.from({ length: rows }, (_, row) => {
      if (row === 0) return -1;
      return row === rows - 1 ? -2 : row;
    }),
  };
}
