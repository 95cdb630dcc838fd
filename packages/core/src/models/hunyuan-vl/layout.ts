/** HunyuanOCR's rows: one at an image's begin, a newline behind each row of tokens, and one at the end. */
import type { Grid } from "../../item.js";
import { behindRows, halfPixelTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import type { GridLayout } from "../vision-model.js";

/** Rows of the answer. */
export function answerRows({ h, w }: Grid, merge: number): number {
  return (h / merge) * (w / merge + 1) + 2;
}

/** @param side of the table of positions, whose first row is no patch's */
export function lineLayout(grid: Grid, merge: number, side: number): GridLayout {
  const line = grid.w / merge + 1;
  const rows = answerRows(grid, merge);
  return {
    ...rasterLayout(grid, merge, (positions) => behindRows(halfPixelTaps(positions, grid, side), 1)),
    // Newlines, and newlines in the places of the two ends, which come behind the last product.
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
