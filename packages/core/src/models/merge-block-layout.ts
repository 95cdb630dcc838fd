/** The order in which towers keep patches: merge blocks row by row, within each block row by row. */
import type { Grid } from "../item.js";
import type { GridLayout } from "./vision-model.js";

/** Positions in merge-block order, the same for every frame; each frame is a segment of its own. */
export function mergeBlockLayout(grid: Grid, mergeSize: number): GridLayout {
  const { t, h, w } = grid;
  let positions: Int32Array | undefined;
  return {
    // Made when they are asked for: for a grid that is in the grid cache nobody does.
    get positions() {
      positions ??= mergeBlockPositions(grid, mergeSize);
      return positions;
    },
    segments: { cu_seqlens: new Array<number>(t).fill(h * w) },
  };
}

/** i32 [t·h·w, 4]: row, column, h and w for each patch. */
export function mergeBlockPositions({ t, h, w }: Grid, mergeSize: number): Int32Array {
  const positions = new Int32Array(t * h * w * 4);
  let at = 0;
  for (let frame = 0; frame < t; frame++) {
    for (let blockRow = 0; blockRow < h; blockRow += mergeSize) {
      for (let blockColumn = 0; blockColumn < w; blockColumn += mergeSize) {
        for (let row = blockRow; row < blockRow + mergeSize; row++) {
          for (let column = blockColumn; column < blockColumn + mergeSize; column++) {
            positions[at++] = row;
            positions[at++] = column;
            positions[at++] = h;
            positions[at++] = w;
          }
        }
      }
    }
  }
  return positions;
}
