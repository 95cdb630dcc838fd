import { expect, test } from "vitest";
import { compareWithReference, f16ToF32, f32ToF16 } from "./numerics.js";

test("every float16 comes back from float32", () => {
  const bits = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i).filter((word) => (word & 0x7fff) <= 0x7c00);
  expect(f32ToF16(f16ToF32(bits))).toEqual(bits);
  expect(f16ToF32(f32ToF16(Float32Array.of(Number.NaN)))[0]).toBeNaN();
});

test("float16 takes the nearest value, and the even one of two", () => {
  const positive = Uint16Array.from({ length: 0x7bff }, (_, i) => i);
  const [lower, upper] = [f16ToF32(positive), f16ToF32(positive.map((word) => word + 1))];
  const middle = lower.map((value, i) => (value + upper[i]!) / 2);
  expect(f32ToF16(middle)).toEqual(positive.map((word) => word + (word & 1)));
  const next = new Float32Array(new Uint32Array(middle.slice().buffer).map((word) => word + 1).buffer);
  expect(f32ToF16(next)).toEqual(positive.map((word) => word + 1));
});

test("float16 overflows halfway past its largest value", () => {
  expect([...f32ToF16(Float32Array.of(65504, 65519.996, 65520, -65520))]).toEqual([
    0x7bff, 0x7bff, 0x7c00, 0xfc00,
  ]);
});

test("the deviation from a reference is relative to its norm, and NaN stays one", () => {
  expect(compareWithReference([3, 4.5], [3, 4])).toEqual({ relativeL2: 0.1, maxAbsolute: 0.5 });
  expect(compareWithReference([0], [0])).toEqual({ relativeL2: 0, maxAbsolute: 0 });
  expect(compareWithReference([3, Number.NaN], [3, 4])).toEqual({
    relativeL2: Number.NaN,
    maxAbsolute: Number.NaN,
  });
});

test.each([
  [
    [1, 2, 3],
    [1, 2],
  ],
  [[1], [1, 2]],
])("values %j are not compared with a reference %j of another length", (values, reference) => {
  expect(() => compareWithReference(values, reference)).toThrow(
    expect.objectContaining({
      code: "VG_ARGUMENT_INVALID",
      message: `${values.length} values are compared with a reference of 2: pass as many values as the reference has`,
    }),
  );
});
