/** LLaVA-OneVision's rows: those of the base tile, the tiles' as one grid, and a newline behind each row of that. */
import type { Grid } from "../../item.js";
import { centredTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import { type GridLayout, TOKEN_TAPS } from "../vision-model.js";
import { type Anyres, answerRows, shownGrid } from "./anyres.js";

/** Rows of the answer. The base tile alone has one newline. */
export function anyresRows({ imageSize }: Grid, anyres: Anyres): number {
  const tile = anyres.side ** 2;
  if (imageSize === undefined) return tile + 1;
  return answerRows(anyres.side, shownGrid(imageSize, anyres));
}

export function anyresLayout(grid: Grid, anyres: Anyres): GridLayout {
  const { side } = anyres;
  const tokens = anyresRows(grid, anyres);
  const rows = new Int32Array(tokens * TOKEN_TAPS);
  const weights = new Float32Array(rows.length);
  const tokenOrder = new Int32Array(tokens);
  let token = 0;
  const put = (taps: readonly (readonly [row: number, weight: number])[]) => {
    for (const [at, [row, weight]] of taps.entries()) {
      rows[token * TOKEN_TAPS + at] = row;
      weights[token * TOKEN_TAPS + at] = weight;
    }
    tokenOrder[token] = token;
    token += 1;
  };
  const putNewline = () => {
    tokenOrder[token] = -1;
    token += 1;
  };
  for (let patch = 0; patch < side ** 2; patch++) put([[patch, 1]]);
  if (grid.imageSize === undefined) putNewline();
  else {
    const shown = shownGrid(grid.imageSize, anyres);
    const { tileColumns, top, left } = shown;
    const rowOf = (y: number, x: number) => {
      const tile = 1 + Math.floor(y / side) * tileColumns + Math.floor(x / side);
      return (tile * side + (y % side)) * side + (x % side);
    };
    const down = centredTaps(shown.shownRows, shown.rows);
    const across = centredTaps(shown.shownColumns, shown.columns);
    for (const vertical of down) {
      for (const horizontal of across) {
        put(
          vertical.flatMap((y) =>
            horizontal.map((x) => [rowOf(top + y.cell, left + x.cell), y.weight * x.weight] as const),
          ),
        );
      }
      putNewline();
    }
  }
  return { ...rasterLayout(grid, 1), tokenTaps: { rows, weights }, tokenOrder };
}
