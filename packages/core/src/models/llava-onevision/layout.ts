/**
 * LLaVA-OneVision's rows: those of the base tile, the tiles' as one grid, and a newline behind each row of that. Of a clip:
 * those of each frame, of which four become one, and a newline behind the last.
 */
import type { Grid } from "../../item.js";
import { type AxisTap, centredTaps, plainTaps } from "../patch-tables.js";
import { type GridLayout, TOKEN_TAPS } from "../vision-model.js";
import { type Anyres, answerRows, shownGrid } from "./anyres.js";

/** Rows along one side of a clip's frame. */
export const pooledSide = (side: number): number => Math.ceil(side / 2);

/** Rows of the answer. The base tile alone has one newline. */
export function anyresRows({ t, imageSize, isClip }: Grid, anyres: Anyres): number {
  if (isClip) return t * pooledSide(anyres.side) ** 2 + 1;
  if (imageSize === undefined) return anyres.side ** 2 + 1;
  return answerRows(anyres.side, shownGrid(imageSize, anyres));
}

export function anyresLayout(grid: Grid, anyres: Anyres): GridLayout {
  const tile = anyres.side ** 2;
  const tokens = anyresRows(grid, anyres);
  const rows = new Int32Array(tokens * TOKEN_TAPS);
  const weights = new Float32Array(rows.length);
  // −1 is the newline.
  const tokenOrder = Int32Array.from({ length: tokens }, (_, token) => token);
  if (grid.isClip) putFrames();
  else putBaseTile();
  if (grid.isClip || grid.imageSize === undefined) tokenOrder[tokens - 1] = -1;
  else putShownGrid(grid.imageSize);
  return {
    // In raster order, as the items' rows are.
    patchTables: () => plainTaps(Int32Array.from({ length: grid.t * tile }, (_, patch) => patch % tile)),
    segments: { cu_seqlens: new Array<number>(grid.t).fill(tile) },
    tokenTaps: { rows, weights },
    tokenOrder,
  };

  function putBaseTile(): void {
    for (let patch = 0; patch < tile; patch++) {
      rows[patch * TOKEN_TAPS] = patch;
      weights[patch * TOKEN_TAPS] = 1;
    }
  }

  /** The frames' rows, one frame after the other. */
  function putFrames(): void {
    const { side } = anyres;
    const axis = centredTaps(pooledSide(side), side);
    let token = 0;
    for (let frame = 0; frame < grid.t; frame++) {
      for (const vertical of axis) {
        for (const horizontal of axis)
          putTaps(token++, vertical, horizontal, (row, column) => frame * tile + row * side + column);
      }
    }
  }

  /** The grid's rows behind those of the base tile. Its cells are read where their tiles have them. */
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

  /** A row of the answer: what the taps of both axes read. */
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
