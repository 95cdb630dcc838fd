import { expect, test } from "vitest";
import { encodeTensor } from "./encode-tensor.js";

const halves = (bytes: Uint8Array): number[] => [
  ...new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2),
];

test("BF16 rounds to nearest, ties to even", () => {
  const values = Float32Array.of(
    1,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    -2,
    1 + 2 ** -8 + 2 ** -20,
    Number.POSITIVE_INFINITY,
  );
  expect(halves(encodeTensor(values, "BF16"))).toEqual([0x3f80, 0x3f80, 0x3f82, 0xc000, 0x3f81, 0x7f80]);
});

test("F16 rounds to nearest, ties to even, subnormals included", () => {
  const values = Float32Array.of(
    1,
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    65504,
    2 ** -24,
    2 ** -25,
    3 * 2 ** -25,
    2 ** -14,
    -0,
  );
  expect(halves(encodeTensor(values, "F16"))).toEqual([
    0x3c00, 0x3c00, 0x3c02, 0x7bff, 0x0001, 0x0000, 0x0002, 0x0400, 0x8000,
  ]);
});

test("Q8_0 has a float16 scale and int8 values, halves away from zero", () => {
  const values = new Float32Array(64);
  // The second block is all zeros.
  values.set([127, -127, 0.5, -0.5, 1.5, 0.49, -2.51, 64.5]);
  const bytes = encodeTensor(values, "Q8_0");
  expect(bytes.length).toBe(68);
  expect(new DataView(bytes.buffer).getUint16(0, true)).toBe(0x3c00);
  expect([...new Int8Array(bytes.buffer, 2, 9)]).toEqual([127, -127, 1, -1, 2, 0, -3, 65, 0]);
  expect(bytes.subarray(34).every((byte) => byte === 0)).toBe(true);
});

test("Q8_0 divides by the scale before it is rounded to float16", () => {
  const values = new Float32Array(32).fill(0.1);
  values[1] = 0.0123;
  const bytes = encodeTensor(values, "Q8_0");
  // 0.1 / 127 = 7.874e-4; 0.0123 / 7.874e-4 = 15.62
  expect(new DataView(bytes.buffer).getUint16(0, true)).toBe(0x1273);
  expect(new Int8Array(bytes.buffer)[2]).toBe(127);
  expect(new Int8Array(bytes.buffer)[3]).toBe(16);
});
