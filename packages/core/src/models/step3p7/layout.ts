/** The tables of an image's tiles and its thumbnail, and the rows that the two convolutions read. */
import { type Grid, type GridPart, partsInRowOrder } from "../../item.js";
import { partsLayout } from "../parts-layout.js";
import { halfPixelTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import { type GridLayout, KERNEL_ROWS } from "../vision-model.js";

/** @param side cells along one side of the position table */
export function stepLayout(grid: Grid, side: number): GridLayout {
  const frames = partsInRowOrder(grid).flatMap(({ t, h, w }) => new Array<Frame>(t).fill({ h, w }));
  const halved = frames.map(({ h, w }) => ({ h: h / 2, w: w / 2 }));
  return {
    ...partsLayout(grid, (part) =>
      rasterLayout(part, 1, (positions) => ({
        // The column before the row: RoPE rotates the first half of a head's pairs by column.
        positions: positions.map((_, at) => positions[at ^ 1] as number),
        ...halfPixelTaps(positions, part, side),
      })),
    ),
    convolutionRows: { patches: rowsUnderKernel(frames), merged: rowsUnderKernel(halved) },
  };
}

type Frame = Pick<GridPart, "h" | "w">;

/**
 * i32 [outputs · KERNEL_ROWS]: the rows under the kernel of a convolution with stride 2 and a padding of 1, over frames
 * in raster order; −1 is the padding.
 */
function rowsUnderKernel(frames: readonly Frame[]): Int32Array {
  const cells = frames.reduce((sum, { h, w }) => sum + h * w, 0);
  const rows = new Int32Array((cells / 4) * KERNEL_ROWS);
  let [at, first] = [0, 0];
  for (const { h, w } of frames) {
    for (let top = -1; top < h - 1; top += 2) {
      for (let left = -1; left < w - 1; left += 2) {
        for (let row = top; row < top + 3; row++) {
          // An even side has no padding at its end.
          for (let column = left; column < left + 3; column++)
            rows[at++] = row < 0 || column < 0 ? -1 : first + row * w + column;
        }
      }
    }
    first += h * w;
  }
  return rows;
}
