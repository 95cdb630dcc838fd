/** The layout of towers that prepend a learned class row to each image's patches, and drop it after the last layer. */
import type { Grid } from "../item.js";
import type { GridLayout } from "./vision-model.js";

type ClassRowLayout = GridLayout & Required<Pick<GridLayout, "rowSources" | "patchRows">>;

/** Each frame becomes one segment with its own class row. @param layout the layout of the patches alone */
export function withClassRows({ t, h, w }: Grid, layout: GridLayout): ClassRowLayout {
  const frame = h * w;
  return {
    ...layout,
    segments: { cu_seqlens: new Array<number>(t).fill(frame + 1) },
    rowSources: Int32Array.from({ length: t * (frame + 1) }, (_, row) => {
      const place = row % (frame + 1);
      return place === 0 ? -1 : Math.floor(row / (frame + 1)) * frame + place - 1;
    }),
    patchRows: Int32Array.from({ length: t * frame }, (_, patch) => patch + Math.floor(patch / frame) + 1),
  };
}

/** Like {@link withClassRows}, for towers with RoPE. @param positions i32 [patches, 2] */
export function withRotatedClassRows(
  grid: Grid,
  layout: GridLayout,
  positions: Int32Array,
  classPosition: readonly [number, number],
): GridLayout {
  const rows = withClassRows(grid, layout);
  const rowPositions = new Int32Array(2 * rows.rowSources.length);
  for (const [row, patch] of rows.rowSources.entries())
    rowPositions.set(patch < 0 ? classPosition : positions.subarray(2 * patch, 2 * patch + 2), 2 * row);
  return { ...rows, rowPositions };
}
