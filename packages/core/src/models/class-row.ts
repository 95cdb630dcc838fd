/** The layout of towers that put a learned class row before the patches of each image, and drop it behind the last layer. */
import type { Grid } from "../item.js";
import type { PatchTables } from "./patch-tables.js";
import { rasterLayout } from "./raster-layout.js";
import type { GridLayout } from "./vision-model.js";

/** Each frame is one segment, with a class row of its own. @param tablesOf as of {@link rasterLayout}, for the patches */
export function classRowLayout(
  grid: Grid,
  merge: number,
  tablesOf: (positions: Int32Array) => PatchTables,
): GridLayout {
  const frame = grid.h * grid.w;
  return {
    ...rasterLayout(grid, merge, tablesOf),
    segments: { cu_seqlens: new Array<number>(grid.t).fill(frame + 1) },
    rowSources: Int32Array.from({ length: grid.t * (frame + 1) }, (_, row) => {
      const place = row % (frame + 1);
      return place === 0 ? -1 : Math.floor(row / (frame + 1)) * frame + place - 1;
    }),
    patchRows: Int32Array.from(
      { length: grid.t * frame },
      (_, patch) => patch + Math.floor(patch / frame) + 1,
    ),
  };
}
