/**
 * MiniCPM-V 4.6's row order: the 4 × 4 patches of a token are adjacent, ordered by windows of 2 × 2, so that both
 * merges join consecutive rows.
 */
import type { GridPart } from "../../item.js";
import { mergeBlockPositions } from "../merge-block-layout.js";
import { nearestTaps } from "../patch-tables.js";
import type { GridLayout } from "../vision-model.js";

/** @param side cells along one side of the position table */
export function windowBlockLayout(grid: GridPart, side: number): GridLayout {
  const { t, h, w } = grid;
  const windows = mergeBlockPositions({ t, h: h / 2, w: w / 2 }, 2);
  const positions = new Int32Array(2 * t * h * w);
  for (let patch = 0; patch < t * h * w; patch++) {
    const window = patch >> 2;
    positions[2 * patch] = 2 * (windows[2 * window] as number) + ((patch >> 1) & 1);
    positions[2 * patch + 1] = 2 * (windows[2 * window + 1] as number) + (patch & 1);
  }
  const patchOrder = Int32Array.from({ length: t * h * w }, (_, patch) => {
    const frame = Math.floor(patch / (h * w)) * h * w;
    return frame + (positions[2 * patch] as number) * w + (positions[2 * patch + 1] as number);
  });
  return {
    patchTables: () => nearestTaps(positions, grid, side),
    patchOrder,
    segments: {
      cu_seqlens: new Array<number>(t).fill(h * w),
      cu_window_seqlens: new Array<number>((t * h * w) / 4).fill(4),
      cu_merged_seqlens: new Array<number>(t).fill((h * w) / 4),
    },
  };
}
