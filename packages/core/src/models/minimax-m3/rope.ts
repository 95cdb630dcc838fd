/**
 * MiniMax-M3's RoPE by a patch's frame, row and column. Of a head's columns, the first 6 · axisPairs rotate: column i
 * with column i + 3 · axisPairs, first the pairs of the frame, then those of the row and of the column. The others do
 * not rotate.
 *
 * The op `rope` rotates half of a head's pairs by the first position of a patch, the other half by the second. The
 * first half gets the row's pairs, the second half the column's, and both get some of the frame's. Both positions
 * therefore include the frame, and the cos/sin table has rows for each frame of a segment.
 */
import type { Grid } from "../../item.js";
import { ropeFrequencies } from "../layers.js";
import { mergeBlockPositions } from "../merge-block-layout.js";

/**
 * The largest grid side, in patches, which bounds the table: 5 MB for the published model. An image of 16 million
 * pixels is never longer, at an aspect ratio up to 200.
 */
export const MAX_SIDE = 4096;

/** Pairs of a head that rotate by one axis. */
const axisPairs = (headSize: number): number => Math.floor(headSize / 6);

/** The pairs of each half of a head, by their number in the checkpoint; those from 3 · axisPairs on do not rotate. */
function halvesOf(headSize: number): readonly (readonly number[])[] {
  const count = axisPairs(headSize);
  const pairs = Array.from({ length: headSize / 2 }, (_, pair) => pair);
  const shared = [...pairs.slice(0, count), ...pairs.slice(3 * count)];
  const own = headSize / 4 - count;
  return [
    [...pairs.slice(count, 2 * count), ...shared.slice(0, own)],
    [...pairs.slice(2 * count, 3 * count), ...shared.slice(own)],
  ];
}

/** The checkpoint's column at each column of a head: the first columns of all pairs, then the second ones. */
export function headPlaces(headSize: number): readonly number[] {
  const rotated = 3 * axisPairs(headSize);
  const pairs = halvesOf(headSize).flat();
  return [
    ...pairs.map((pair) => (pair < rotated ? pair : 2 * pair)),
    ...pairs.map((pair) => (pair < rotated ? pair + rotated : 2 * pair + 1)),
  ];
}

/**
 * f32 [2 · frames · MAX_SIDE, headSize/2]: for each half of the pairs, each frame, and each row or column of a grid,
 * the cosines of the half's angles, then their sines.
 */
export function frameRopeAngles(headSize: number, theta: number, frames: number): Float32Array {
  const count = axisPairs(headSize);
  const frequencies = ropeFrequencies(count, theta, (index) => index / count);
  const [columns, quarter] = [headSize / 2, headSize / 4];
  const table = new Float32Array(2 * frames * MAX_SIDE * columns);
  for (const [half, pairs] of halvesOf(headSize).entries()) {
    for (const [at, pair] of pairs.entries()) {
      const frequency = pair < 3 * count ? (frequencies[pair % count] as number) : 0;
      const first = half * frames * MAX_SIDE;
      for (let row = 0; row < frames * MAX_SIDE; row++) {
        const place = pair < count ? Math.floor(row / MAX_SIDE) : row % MAX_SIDE;
        const angle = Math.fround(place * frequency);
        table[(first + row) * columns + at] = Math.cos(angle);
        table[(first + row) * columns + quarter + at] = Math.sin(angle);
      }
    }
  }
  return table;
}

/**
 * i32 [patches, 2]: rows of the table for each patch, for the first and the second half of the pairs.
 * @param frames of a segment, which counts its frames from 0
 */
export function framePositions(grid: Grid, merge: number, frames: number): Int32Array {
  const area = grid.h * grid.w;
  return mergeBlockPositions(grid, merge).map((position, at) => {
    const frame = Math.floor(at / 2 / area) % frames;
    return ((at % 2) * frames + frame) * MAX_SIDE + position;
  });
}
