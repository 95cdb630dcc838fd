/**
 * Output rows of anyres tiling. Image: those of the base tile, then those of the tiles as one grid with a newline after
 * each row. Clip: those of each frame, and in some families one newline at the end.
 */
import type { Grid } from "../item.js";
import { type Anyres, type ClipRows, outputRows, shownGrid } from "./anyres.js";
import { type AxisTap, centredTaps, plainTaps } from "./patch-tables.js";
import { type GridLayout, TOKEN_TAPS } from "./vision-model.js";

/** Number of output rows. An image with only the base tile has one newline. */
export function anyresRows({ t, imageSize, isClip }: Grid, anyres: Anyres): number {
  if (isClip && anyres.clips) return t * anyres.clips.axis.length ** 2 + Number(anyres.clips.newline);
  if (imageSize === undefined) return anyres.side ** 2 + 1;
  return outputRows(anyres.side, shownGrid(imageSize, anyres));
}

export function anyresLayout(grid: Grid, anyres: Anyres): GridLayout {
  const tile = anyres.side ** 2;
  const tokens = anyresRows(grid, anyres);
  const rows = new Int32Array(tokens * TOKEN_TAPS);
  const weights = new Float32Array(rows.length);
  // −1 selects the newline.
  const tokenOrder = Int32Array.from({ length: tokens }, (_, token) => token);
  if (grid.isClip && anyres.clips) putFrames(anyres.clips);
  else putImage();
  return {
    // The position table and the item's rows are both in raster order.
    patchTables: () => plainTaps(Int32Array.from({ length: grid.t * tile }, (_, patch) => patch % tile)),
    segments: { cu_seqlens: new Array<number>(grid.t).fill(tile) },
    tokenTaps: { rows, weights },
    tokenOrder,
  };

  function putImage(): void {
    for (let patch = 0; patch < tile; patch++) {
      rows[patch * TOKEN_TAPS] = patch;
      weights[patch * TOKEN_TAPS] = 1;
    }
    if (grid.imageSize === undefined) tokenOrder[tile] = -1;
    else putShownGrid(grid.imageSize);
  }

  /** Writes the taps of all frames. */
  function putFrames({ axis, newline }: ClipRows): void {
    const { side } = anyres;
    let token = 0;
    for (let frame = 0; frame < grid.t; frame++) {
      for (const vertical of axis) {
        for (const horizontal of axis)
          putTaps(token++, vertical, horizontal, (row, column) => frame * tile + row * side + column);
      }
    }
    if (newline) tokenOrder[token] = -1;
  }

  /** Writes the taps of the grid after the base tile. `patchAt` maps a cell of the grid to its row in a tile. */
  function putShownGrid(imageSize: NonNullable<Grid["imageSize"]>): void {
    const { side } = anyres;
    const { top, left, tileColumns, ...shown } = shownGrid(imageSize, anyres);
    const patchAt = (shownRow: number, shownColumn: number) => {
      const [row, column] = [top + shownRow, left + shownColumn];
      const own = 1 + Math.floor(row / side) * tileColumns + Math.floor(column / side);
      return own * tile + (row % side) * side + (column % side);
    };
    const across = centredTaps(shown.shownColumns, shown.columns);
    let token = tile;
    for (const vertical of centredTaps(shown.shownRows, shown.rows)) {
      for (const horizontal of across) putTaps(token++, vertical, horizontal, patchAt);
      tokenOrder[token++] = -1;
    }
  }

  /** Writes the taps of an output row: the product of the taps of both axes. */
  function putTaps(
    token: number,
    vertical: readonly AxisTap[],
    horizontal: readonly AxisTap[],
    patchAt: (row: number, column: number) => number,
  ): void {
    let at = token * TOKEN_TAPS;
    for (const y of vertical) {
      for (const x of horizontal) {
        rows[at] = patchAt(y.cell, x.cell);
        weights[at++] = y.weight * x.weight;
      }
    }
  }
}
