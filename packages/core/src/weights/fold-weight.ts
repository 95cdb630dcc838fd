/** The weight of a product that a norm was folded into, out of its tensors: γ ⊙ W, and the vectors of its epilogue. */

/** Of a product's columns, in the order of the weight's rows. */
export interface FoldedVectors {
  /** Sums of the weight's rows, as they are stored. */
  readonly u: Float32Array;
  /** β · Wᵀ + bias. */
  readonly v: Float32Array;
}

/** The tensors of the norm, in float32, and the bias of the product. */
export interface NormTensors {
  readonly scale: Float32Array;
  readonly shift: Float32Array | undefined;
  readonly bias: Float32Array | undefined;
  /** The norm takes the mean off. */
  readonly centred: boolean;
}

/**
 * Multiplies rows of W by γ, in place, and finds their v. `firstRow` is the number of the first of them.
 *
 * Where the norm takes the mean of x off, the mean of each row of γ ⊙ W may go, too: Σ (x − mean) · c is 0 whatever c is. Then the
 * mean of x is not in the sums from the start, and need not be got out of them again: rows whose mean is a thousand
 * deviations come out right.
 */
export function scaleRows(
  rows: Float32Array,
  firstRow: number,
  { scale, shift, bias, centred }: NormTensors,
  { v }: FoldedVectors,
): void {
  const columns = scale.length;
  for (let start = 0, row = firstRow; start < rows.length; start += columns, row++) {
    let shifted = bias === undefined ? 0 : (bias[row] as number);
    if (shift !== undefined)
      for (let k = 0; k < columns; k++) shifted += (rows[start + k] as number) * (shift[k] as number);
    v[row] = shifted;
    let sum = 0;
    for (let k = 0; k < columns; k++)
      sum += rows[start + k] = (rows[start + k] as number) * (scale[k] as number);
    const mean = centred ? sum / columns : 0;
    for (let k = 0; k < columns; k++) rows[start + k] = (rows[start + k] as number) - mean;
  }
}

/** Finds u of rows as they were rounded. */
export function sumRows(rows: Float32Array, firstRow: number, columns: number, { u }: FoldedVectors): void {
  for (let start = 0, row = firstRow; start < rows.length; start += columns, row++) {
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += rows[start + k] as number;
    u[row] = sum;
  }
}
