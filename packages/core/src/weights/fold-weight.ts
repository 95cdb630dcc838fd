/** The weight of a product that a norm was folded into, out of its tensors: γ ⊙ W, and the vectors of its epilogue. */

import type { DType } from "@vitgraph/cuda-kernels";
import { roundToBf16 } from "../numerics.js";

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
 * Rows of γ ⊙ W in the dtype that the device wants, and their u and v. `firstRow` is the number of the first of them.
 *
 * Where the norm takes the mean of x off, the mean of each row of γ ⊙ W may go, too: Σ (x − mean) · c is 0 whatever c is. Then the
 * mean of x is not in the sums from the start, and need not be got out of them again: rows whose mean is a thousand
 * deviations come out right.
 *
 * A tower has hundreds of millions of such elements: one row at a time, which stays in the cache, and two sums at a
 * time, which need not wait for each other.
 * @param rows [n, columns], of W
 */
export function foldRows(
  rows: Float32Array,
  firstRow: number,
  { scale, shift, bias, centred }: NormTensors,
  { u, v }: FoldedVectors,
  to: DType,
): Uint8Array {
  const columns = scale.length;
  const stored = to === "bf16" ? new Uint16Array(rows.length) : new Float32Array(rows.length);
  const row = new Float32Array(columns);
  for (let start = 0, number = firstRow; start < rows.length; start += columns, number++) {
    row.set(rows.subarray(start, start + columns));
    v[number] = (bias?.[number] ?? 0) + (shift === undefined ? 0 : dot(row, shift));
    for (let k = 0; k < columns; k++) row[k] = (row[k] as number) * (scale[k] as number);
    if (centred) {
      const mean = sum(row) / columns;
      for (let k = 0; k < columns; k++) row[k] = (row[k] as number) - mean;
    }
    // Of the values as they are stored.
    if (to === "bf16") roundToBf16(row, stored as Uint16Array, start);
    else stored.set(row, start);
    u[number] = sum(row);
  }
  return new Uint8Array(stored.buffer);
}

function sum(values: Float32Array): number {
  let even = 0;
  let odd = 0;
  let k = 0;
  for (; k + 1 < values.length; k += 2) {
    even += values[k] as number;
    odd += values[k + 1] as number;
  }
  return even + odd + (k < values.length ? (values[k] as number) : 0);
}

function dot(a: Float32Array, b: Float32Array): number {
  let even = 0;
  let odd = 0;
  let k = 0;
  for (; k + 1 < a.length; k += 2) {
    even += (a[k] as number) * (b[k] as number);
    odd += (a[k + 1] as number) * (b[k + 1] as number);
  }
  return even + odd + (k < a.length ? (a[k] as number) * (b[k] as number) : 0);
}
