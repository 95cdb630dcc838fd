/**
 * Windows, as in transformers' `get_vision_window_index`: tokens are ordered window by window, so that a window is an
 * attention segment, and are restored to raster order after the tower. Empty windows are omitted.
 */
import type { Grid } from "../item.js";
import { mergeBlockPositions } from "./merge-block-layout.js";
import type { PatchTables } from "./patch-tables.js";
import type { GridLayout } from "./vision-model.js";

/**
 * @param mergeSize patches along one side of a token
 * @param windowSize tokens along one side of a window
 * @param options.rasterItems whether the item's patches are in raster order. Default: merge-block order
 * @param options.tablesOf creates the patch tables from the row and column of each of the tower's patches. Default: only
 *   `positions`
 */
export function windowLayout(
  grid: Grid,
  mergeSize: number,
  windowSize: number,
  {
    rasterItems = false,
    tablesOf = (positions: Int32Array): PatchTables => ({ positions }),
  }: WindowLayoutOptions = {},
): GridLayout {
  const { t, h, w } = grid;
  const area = mergeSize ** 2;
  const { order, sizes } = tokensByWindow(t, h / mergeSize, w / mergeSize, windowSize);
  const blockOrder = new Int32Array(order.length * area);
  const tokenOrder = new Int32Array(order.length);
  for (const [row, token] of order.entries()) {
    tokenOrder[token] = row;
    for (let part = 0; part < area; part++) blockOrder[row * area + part] = token * area + part;
  }
  const positions = mergeBlockPositions(grid, mergeSize);
  const positionAt = (patch: number, axis: number) =>
    positions[2 * (blockOrder[patch] as number) + axis] as number;
  const rasterIndex = (block: number, patch: number) =>
    (Math.floor(block / (h * w)) * h + positionAt(patch, 0)) * w + positionAt(patch, 1);
  return {
    patchTables: () =>
      tablesOf(Int32Array.from({ length: positions.length }, (_, at) => positionAt(at >> 1, at & 1))),
    segments: {
      cu_seqlens: new Array<number>(t).fill(h * w),
      cu_window_seqlens: sizes.map((tokens) => tokens * area),
    },
    patchOrder: rasterItems ? blockOrder.map(rasterIndex) : blockOrder,
    tokenOrder,
  };
}

interface WindowLayoutOptions {
  readonly rasterItems?: boolean;
  readonly tablesOf?: (positions: Int32Array) => PatchTables;
}

/** Token indices window by window, and the number of tokens of each window. */
function tokensByWindow(frames: number, rows: number, columns: number, size: number) {
  const order = new Int32Array(frames * rows * columns);
  const sizes: number[] = [];
  let at = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let top = 0; top < rows; top += size) {
      for (let left = 0; left < columns; left += size) {
        const start = at;
        for (let row = top; row < Math.min(top + size, rows); row++) {
          for (let column = left; column < Math.min(left + size, columns); column++)
            order[at++] = (frame * rows + row) * columns + column;
        }
        sizes.push(at - start);
      }
    }
  }
  return { order, sizes };
}
