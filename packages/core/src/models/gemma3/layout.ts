/** Gemma 3's items have their patches row by row; the tower has those that one token averages together. */
import type { Grid } from "../../item.js";
import { mergeBlockPositions } from "../merge-block-layout.js";
import { plainTaps } from "../patch-tables.js";
import type { GridLayout } from "../vision-model.js";

export function rasterLayout(grid: Grid, merge: number): GridLayout {
  const { t, h, w } = grid;
  const positions = mergeBlockPositions(grid, merge);
  const patchOrder = Int32Array.from({ length: t * h * w }, (_, patch) => {
    return (positions[2 * patch] as number) * w + (positions[2 * patch + 1] as number);
  });
  return {
    // The table has a row for each patch of the one grid, in raster order too.
    patchTables: () => plainTaps(patchOrder),
    patchOrder,
    segments: { cu_seqlens: new Array<number>(t).fill(h * w) },
  };
}
