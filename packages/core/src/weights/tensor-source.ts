import { convertFloats, type FloatDType } from "@vitgraph/cuda-kernels";
import { describe, VitgraphError } from "@vitgraph/errors";

/**
 * A tensor whose bytes are read in slices, from a checkpoint's file or a generator. It never holds all of them, so that
 * loading a model takes no more memory than the model.
 */
export interface TensorSource {
  /** Name for error messages. */
  readonly name: string;
  /** The safetensors name of the dtype. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sizeBytes: number;
  /** Fills `target` with the tensor's bytes from `start` on, in row-major order. @throws VG_WEIGHTS_INVALID */
  readSlice(start: number, target: Uint8Array): Promise<void>;
}

const FLOAT_DTYPES: ReadonlyMap<string, FloatDType> = new Map([
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
]);

/** @throws VG_WEIGHTS_INVALID for a dtype that no kernel reads */
export function floatDType({ name, dtype }: TensorSource): FloatDType {
  const known = FLOAT_DTYPES.get(dtype);
  if (known !== undefined) return known;
  throw new VitgraphError("VG_WEIGHTS_INVALID", `tensor ${describe(name)} has dtype ${describe(dtype)}`, {
    remedy: `vitgraph reads ${[...FLOAT_DTYPES.keys()].join(", ")}: use a checkpoint whose vision tower has one of these dtypes`,
    details: { tensor: name, dtype },
  });
}

/** The whole tensor. */
export async function readFloats(source: TensorSource): Promise<Float32Array> {
  const bytes = new Uint8Array(source.sizeBytes);
  await source.readSlice(0, bytes);
  const dtype = floatDType(source);
  const floats = dtype === "f32" ? bytes : await convertFloats(bytes, dtype, "f32");
  return new Float32Array(floats.buffer);
}
