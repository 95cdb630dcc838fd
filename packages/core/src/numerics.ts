/** bfloat16 and float16 ↔ float32, over whole arrays, and rounding and steps as in Python and NumPy. */
import { VitgraphError } from "@vitgraph/errors";

/** Python's `round`: a half goes to the even neighbour. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** `numpy.linspace`. */
export function linspace(start: number, end: number, count: number): readonly number[] {
  if (count === 1) return [start];
  const step = (end - start) / (count - 1);
  return Array.from({ length: count }, (_, index) => (index === count - 1 ? end : index * step + start));
}

/** `torch.linspace` from 0, in float32. It computes the second half from the end. */
export function linspaceF32(end: number, count: number): readonly number[] {
  const step = Math.fround(end / Math.max(1, count - 1));
  return Array.from({ length: count }, (_, index) =>
    index < Math.floor(count / 2) || count === 1
      ? Math.fround(step * index)
      : Math.fround(end - Math.fround(step * (count - 1 - index))),
  );
}

/** Exact: bfloat16 is the upper half of a float32. */
export function bf16ToF32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] as number) << 16;
  return new Float32Array(words.buffer);
}

/** Rounds to nearest, ties to even; a NaN stays one. */
export function f32ToBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) bits[i] = bf16Bits(words[i] as number);
  return bits;
}

/** Of a float32's bits. */
function bf16Bits(word: number): number {
  const isNaNWord = (word & 0x7fffffff) > 0x7f800000;
  return isNaNWord ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

/** Exact. */
export function f16ToF32(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i] as number;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    const sign = half & 0x8000 ? -1 : 1;
    if (exponent === 0) values[i] = sign * mantissa * 2 ** -24;
    else if (exponent === 0x1f) values[i] = mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    else values[i] = sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  }
  return values;
}

/** Rounds to nearest, ties to even. Values from 65520 on overflow to infinity; NaN stays NaN. */
export function f32ToF16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) bits[i] = sign | 0x7e00;
    // 65520, halfway between the largest float16 and the next power of two.
    else if (magnitude >= 0x477ff000) bits[i] = sign | 0x7c00;
    // Below 2⁻¹⁴ float16 has steps of 2⁻²⁴. The product is exact.
    else if (magnitude < 0x38800000) bits[i] = sign | roundHalfEven(Math.abs(values[i] as number) * 2 ** 24);
    else bits[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  return bits;
}

/**
 * ‖value - reference‖ / ‖reference‖ and the largest |value - reference|, in float64. NaN anywhere makes both NaN.
 * @throws VG_ARGUMENT_INVALID for different lengths
 */
export function compareWithReference(
  value: ArrayLike<number>,
  reference: ArrayLike<number>,
): { relativeL2: number; maxAbsolute: number } {
  if (value.length !== reference.length) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `${value.length} values are compared with a reference of ${reference.length}`,
      { remedy: "pass as many values as the reference has" },
    );
  }
  let difference = 0;
  let norm = 0;
  let maxAbsolute = 0;
  for (let i = 0; i < reference.length; i++) {
    const expected = reference[i] as number;
    const error = Math.abs((value[i] as number) - expected);
    difference += error * error;
    norm += expected * expected;
    if (!(error <= maxAbsolute)) maxAbsolute = error;
  }
  const relativeL2 = Math.sqrt(difference) / Math.sqrt(norm);
  return { relativeL2: norm === 0 && difference === 0 ? 0 : relativeL2, maxAbsolute };
}

/** The bytes of a view: the same memory. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The elements of the arrays, of which there is at least one, one after the other. */
export function concatenate<T extends Int32Array | Float32Array | Uint8Array>(parts: readonly T[]): T {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const Elements = parts[0]?.constructor as new (length: number) => T;
  const whole = new Elements(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
