/**
 * Kimi-K2.5's layout for stills, and for clips in chunks of up to four frames. A chunk is one attention segment.
 * Sinusoids of the frame index are added to the positions of its frames, and the output is the mean of its frames. A
 * chunk of one frame is computed like a still.
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
  /** Cells along one side of the position table. */
  readonly side: number;
}

/** The layout of stills, for Kimi-VL. */
export function stillLayout(grid: Grid, { merge, side }: KimiTower): GridLayout {
  return rasterLayout(grid, merge, (positions) => tablesOf(positions, grid, side));
}

/** The layout of a clip of `grid.t` frames, chunk by chunk. */
export function clipLayout(grid: Grid, { merge, side }: KimiTower): GridLayout {
  const area = grid.h * grid.w;
  const chunks = chunksOf(grid, CHUNK_FRAMES);
  return {
    ...rasterLayout(grid, merge, (positions) => withFrames(tablesOf(positions, grid, side), grid, side)),
    segments: { cu_seqlens: chunks.map((frames) => frames * area) },
    tokenTaps: meansOf(chunks, area),
  };
}

/** `positions` has the column before the row: RoPE rotates the first half of a head's pairs by column. */
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

/** Taps that average each patch over the frames of its chunk. @param area patches per frame */
function meansOf(chunks: readonly number[], area: number): NonNullable<GridLayout["tokenTaps"]> {
  const rows = new Int32Array(chunks.length * area * TOKEN_TAPS);
  const weights = new Float32Array(rows.length);
  let [at, first] = [0, 0];
  for (const frames of chunks) {
    for (let patch = first; patch < first + area; patch++) {
      for (let tap = 0; tap < TOKEN_TAPS; tap++, at++) {
        // Taps beyond the chunk's frames have the weight 0.
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
