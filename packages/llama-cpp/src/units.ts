/**
 * The units of a sequence: text tokens, and images or videos, each of which is one unit with many rows. Rows of an image
 * follow the prompt's order, but not its positions: multimodal RoPE places them by time, row and column.
 */

/** An image, a video, or a temporal patch of one. */
export interface MediaUnit {
  /** Equal exactly for equal content in the same grid. */
  readonly key: string;
  /** Rows, and cells of the KV cache. */
  readonly count: number;
  /** f32 [count, columns of the encoder's embedding]. */
  readonly rows: Float32Array;
  /** i32 [3][count]: t, h and w, from 0. Absent for language models with one position a token. */
  readonly positions?: Int32Array;
  /** Positions that it takes: the position after it is this much larger. */
  readonly span: number;
}

export type Unit = number | MediaUnit;

export const cellsOf = (unit: Unit): number => (typeof unit === "number" ? 1 : unit.count);
export const spanOf = (unit: Unit): number => (typeof unit === "number" ? 1 : unit.span);
export const sameUnit = (a: Unit | undefined, b: Unit | undefined): boolean =>
  typeof a === "object" && typeof b === "object" ? a.key === b.key : a !== undefined && a === b;

export const sum = <T>(values: readonly T[], of: (value: T) => number): number =>
  values.reduce((total, value) => total + of(value), 0);

/**
 * Positions in multimodal RoPE, as transformers' get_rope_index counts them, from 0: time, row and column of each token of
 * the grid. The next unit's position is one after the largest.
 * @param grid in tokens, after the merge
 * @param secondsScale positions between two temporal patches: 1, or seconds of a patch · tokens_per_second
 */
export function gridPositions(
  { t, h, w }: { readonly t: number; readonly h: number; readonly w: number },
  secondsScale = 1,
): { readonly positions: Int32Array; readonly span: number } {
  const count = t * h * w;
  const positions = new Int32Array(3 * count);
  for (let index = 0; index < count; index++) {
    const column = index % w;
    const row = Math.floor(index / w) % h;
    const time = Math.floor(Math.floor(index / (w * h)) * secondsScale);
    positions[index] = time;
    positions[count + index] = row;
    positions[2 * count + index] = column;
  }
  return { positions, span: Math.max(Math.floor((t - 1) * secondsScale), h - 1, w - 1) + 1 };
}
