/**
 * Kimi-K2.5's rows: those of a still, or of a clip's chunks of up to four frames. A chunk attends as a whole, its frames
 * have sinusoids in their positions, and their mean is one frame's rows. A chunk of one frame is a still.
 */
import { type Grid, patchCount } from "../../item.js";
import { ropeFrequencies } from "../layers.js";
import { bicubicTaps, type PatchTables } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import { chunksOf, type GridLayout, TOKEN_TAPS } from "../vision-model.js";

/** transformers' `temporal_patch_size`, and `pos_emb_time` of the tower. */
export const CHUNK_FRAMES = 4;

export interface KimiTower {
  readonly merge: number;
  /** Cells along one side of the table of positions. */
  readonly side: number;
}

/** For models of stills: Kimi-VL. */
export function stillLayout(grid: Grid, { merge, side }: KimiTower): GridLayout {
  return rasterLayout(grid, merge, (positions) => tablesOf(positions, grid, side));
}

/** A grid whose t counts frames. The rows of its chunks follow each other. */
export function clipLayout(grid: Grid, { merge, side }: KimiTower): GridLayout {
  const area = grid.h * grid.w;
  const chunks = chunksOf(grid, CHUNK_FRAMES);
  return {
    ...rasterLayout(grid, merge, (positions) => withFrames(tablesOf(positions, grid, side), grid, side)),
    segments: { cu_seqlens: chunks.map((frames) => frames * area) },
    tokenTaps: meansOf(chunks, area),
  };
}

/** The first half of a head's pairs turn by column, the second by row. */
function tablesOf(positions: Int32Array, grid: Grid, side: number): PatchTables {
  return {
    positions: positions.map((_, at) => positions[at ^ 1] as number),
    ...bicubicTaps(positions, grid, side),
  };
}

/** Adds a tap of the {@link frameSinusoids}, which follow the table's rows. Its weight is 0 for a still. */
function withFrames(
  { positions, tap_rows = new Int32Array(), tap_weights = new Float32Array() }: PatchTables,
  grid: Grid,
  side: number,
): PatchTables {
  const patches = patchCount(grid);
  const taps = tap_rows.length / patches;
  const rows = new Int32Array(patches * (taps + 1));
  const weights = new Float32Array(rows.length);
  const frames = chunksOf(grid, CHUNK_FRAMES).flatMap((count) =>
    Array.from({ length: count }, (_, frame) => ({ row: side ** 2 + frame, weight: count > 1 ? 1 : 0 })),
  );
  for (let patch = 0; patch < patches; patch++) {
    const [from, to] = [patch * taps, patch * (taps + 1)];
    rows.set(tap_rows.subarray(from, from + taps), to);
    weights.set(tap_weights.subarray(from, from + taps), to);
    const { row, weight } = frames[Math.floor(patch / (grid.h * grid.w))] as (typeof frames)[number];
    rows[to + taps] = row;
    weights[to + taps] = weight;
  }
  return { ...(positions && { positions }), tap_rows: rows, tap_weights: weights };
}

/** The mean of each patch over its chunk's frames. @param area patches of a frame */
function meansOf(chunks: readonly number[], area: number): NonNullable<GridLayout["tokenTaps"]> {
  const rows = new Int32Array(chunks.length * area * TOKEN_TAPS);
  const weights = new Float32Array(rows.length);
  let [at, first] = [0, 0];
  for (const frames of chunks) {
    for (let patch = first; patch < first + area; patch++) {
      for (let tap = 0; tap < TOKEN_TAPS; tap++, at++) {
        // Missing frames have the weight 0.
        rows[at] = patch + (tap < frames ? tap * area : 0);
        weights[at] = tap < frames ? 1 / frames : 0;
      }
    }
    first += frames * area;
  }
  return { rows, weights };
}

/** f32 [CHUNK_FRAMES, columns]: the sines of a frame's index times each frequency, then their cosines. */
export function frameSinusoids(columns: number): Float32Array {
  const half = columns / 2;
  const frequencies = ropeFrequencies(half, 10_000, (index) => (2 * index) / columns);
  return Float32Array.from({ length: CHUNK_FRAMES * columns }, (_, at) => {
    const [frame, column] = [Math.floor(at / columns), at % columns];
    const angle = Math.fround(frame * (frequencies[column % half] as number));
    return column < half ? Math.sin(angle) : Math.cos(angle);
  });
}
