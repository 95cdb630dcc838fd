/** float32 → the bytes of a GGUF tensor type, rounded as llama.cpp's converter rounds. */
import { bytesOf, f32ToBf16, f32ToF16 } from "@vitgraph/core";
import { TENSOR_TYPES, type TensorType } from "./gguf-header.js";

/** @param values whole blocks of the type */
export function encodeTensor(values: Float32Array, type: TensorType): Uint8Array {
  switch (type) {
    case "F32":
      return bytesOf(values);
    case "F16":
      return bytesOf(f32ToF16(values));
    case "BF16":
      return bytesOf(f32ToBf16(values));
    case "Q8_0":
      return encodeQ8(values);
  }
}

/**
 * Blocks of 32 values: a float16 scale d = max|x| / 127, then 32 int8 x / d, rounded half away from zero. Like ggml, this
 * computes in float32, and divides by the scale before the scale is rounded to float16.
 */
function encodeQ8(values: Float32Array): Uint8Array {
  const { blockElements, blockBytes } = TENSOR_TYPES.Q8_0;
  const blocks = values.length / blockElements;
  const bytes = new Uint8Array(blocks * blockBytes);
  const quants = new Int8Array(bytes.buffer);
  const scales = new Float32Array(blocks);
  for (let block = 0; block < blocks; block++) {
    const first = block * blockElements;
    let largest = 0;
    for (let i = first; i < first + blockElements; i++)
      largest = Math.max(largest, Math.abs(values[i] as number));
    const scale = Math.fround(largest / 127);
    scales[block] = scale;
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const start = block * blockBytes + 2;
    for (let i = 0; i < blockElements; i++) {
      const scaled = Math.fround((values[first + i] as number) * inverse);
      quants[start + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
    }
  }
  const halves = f32ToF16(scales);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++)
    view.setUint16(block * blockBytes, halves[block] as number, true);
  return bytes;
}
