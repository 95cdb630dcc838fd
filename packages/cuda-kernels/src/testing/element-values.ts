/** Numbers ↔ the bytes of a dtype. Rounds to nearest, ties to even, as every conversion of ours does. */
import { DTYPE_BYTES, type DType } from "../program.js";

/** Numbers as the bytes of a dtype, rounded to nearest, ties to even. */
export function encodeValues(dtype: DType, values: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(values.length * DTYPE_BYTES[dtype]);
  const view = new DataView(bytes.buffer);
  const write = WRITERS[dtype];
  for (let i = 0; i < values.length; i++) write(view, i * DTYPE_BYTES[dtype], values[i] as number);
  return bytes;
}

/** The numbers in the bytes of a dtype. */
export function decodeValues(dtype: DType, bytes: Uint8Array): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = READERS[dtype];
  return Float64Array.from({ length: bytes.byteLength / DTYPE_BYTES[dtype] }, (_, i) =>
    read(view, i * DTYPE_BYTES[dtype]),
  );
}

/** What becomes of the numbers when they are stored as `dtype`. */
export function roundValues(dtype: DType, values: ArrayLike<number>): Float64Array {
  return decodeValues(dtype, encodeValues(dtype, values));
}

const WRITERS: Readonly<Record<DType, (view: DataView, at: number, value: number) => void>> = {
  f32: (view, at, value) => view.setFloat32(at, value, true),
  bf16: (view, at, value) => view.setUint16(at, toBFloat16(value), true),
  f16: (view, at, value) => view.setUint16(at, toFloat16(value), true),
  i32: (view, at, value) => view.setInt32(at, value, true),
  u8: (view, at, value) => view.setUint8(at, value),
};

const READERS: Readonly<Record<DType, (view: DataView, at: number) => number>> = {
  f32: (view, at) => view.getFloat32(at, true),
  bf16: (view, at) => fromBits(view.getUint16(at, true) << 16),
  f16: (view, at) => fromFloat16(view.getUint16(at, true)),
  i32: (view, at) => view.getInt32(at, true),
  u8: (view, at) => view.getUint8(at),
};

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function fromBits(value: number): number {
  bits[0] = value;
  return float[0] as number;
}

function toBFloat16(value: number): number {
  float[0] = value;
  const word = bits[0] as number;
  if (Number.isNaN(value)) return (word >>> 16) | 0x40;
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

function toFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), -14);
  // In units of the last place; a mantissa that rounds up to 2048 carries into the exponent by itself.
  const units = roundToEven(magnitude / 2 ** (exponent - 10));
  return sign | (units < 1024 ? units : ((exponent + 14) << 10) + units);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
