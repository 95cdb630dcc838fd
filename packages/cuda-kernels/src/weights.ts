/**
 * Converts a checkpoint's weights for a device: in native code, off JavaScript's thread, one thread per call.
 *
 * Callers cut a weight into slices and keep several in flight. Input arrays are copied at the call.
 */
import { fromNative, type NativeWeights, requireAddon } from "./native.js";
import type { DType } from "./program.js";

/** Dtypes of checkpoints. */
export type FloatDType = Extract<DType, "f32" | "bf16" | "f16">;
/** Dtypes that devices read. */
export type WeightDType = Extract<DType, "f32" | "bf16">;

/**
 * The same elements in another dtype, rounded to nearest, ties to even.
 * @throws VG_ARGUMENT_INVALID for bytes that are not whole elements; VG_DEVICE_OUT_OF_MEMORY
 */
export function convertFloats(bytes: Uint8Array, from: FloatDType, to: WeightDType): Promise<Uint8Array> {
  return callNative((native) => native.convertFloats({ bytes, from, to }));
}

/** The norm before a product, and the product's bias. */
export interface NormOperands {
  /** γ, an element for each column of the weight. */
  readonly scale: Float32Array;
  /** β, likewise. */
  readonly shift?: Float32Array | undefined;
  /** An element for each row of the weight. */
  readonly bias?: Float32Array | undefined;
  /** The norm subtracts the mean: a layernorm. */
  readonly centred: boolean;
}

/** Operands of the kernel `linear_norm`, for as many rows as were passed. */
export interface FoldedRows {
  /** γ ⊙ W, each row less its mean where the norm is centred. */
  readonly weight: Uint8Array;
  /** Sums of the rows of `weight` as they are stored. */
  readonly u: Float32Array;
  /** β · Wᵀ + bias. */
  readonly v: Float32Array;
}

/**
 * Folds a norm into whole rows of the weight of the product after it. Sums are float64, and each element is rounded once to
 * float32 after γ and after the mean, and then to `to`.
 * @throws VG_ARGUMENT_INVALID for arrays whose sizes do not fit; VG_DEVICE_OUT_OF_MEMORY
 */
export async function foldNorm(
  rows: Uint8Array,
  from: FloatDType,
  { scale, shift, bias, centred }: NormOperands,
  to: WeightDType,
): Promise<FoldedRows> {
  const { weight, u, v } = await callNative((native) =>
    native.foldNorm({
      weight: rows,
      from,
      to,
      columns: scale.length,
      centred,
      scale: bytesOf(scale),
      ...(shift === undefined ? {} : { shift: bytesOf(shift) }),
      ...(bias === undefined ? {} : { bias: bytesOf(bias) }),
    }),
  );
  return { weight, u: new Float32Array(u.buffer), v: new Float32Array(v.buffer) };
}

/** The CPU addon is built everywhere, whichever device the weights are for. */
async function callNative<T>(work: (weights: NativeWeights) => Promise<T>): Promise<T> {
  const addon = requireAddon("cpu");
  try {
    return await work(addon);
  } catch (error) {
    throw fromNative(error);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
