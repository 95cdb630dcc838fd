import { expect, test } from "vitest";
import { createCpuDevice } from "../cpu-device.js";
import { decodeValues, encodeValues, roundValues } from "./element-values.js";
import { linearCase } from "./kernel-cases.js";
import { runKernelCase } from "./run-case.js";

const patterns = Uint16Array.from({ length: 65536 }, (_, pattern) => pattern);
const bytes = new Uint8Array(patterns.buffer);

test.each(["bf16", "f16"] as const)(
  "every pattern of %s that is a number survives the round trip",
  (dtype) => {
    const values = decodeValues(dtype, bytes);
    const again = new Uint16Array(encodeValues(dtype, values).buffer);
    for (const [pattern, value] of values.entries()) {
      if (!Number.isNaN(value)) expect(again[pattern]).toBe(pattern);
      else expect(decodeValues(dtype, encodeValues(dtype, [value]))[0]).toBeNaN();
    }
  },
);

test.each(["bf16", "f16"] as const)("the CPU widens every pattern of %s exactly", async (dtype) => {
  const values = decodeValues(dtype, bytes);
  const base = linearCase({ m: 1, n: values.length, k: 1, weightDType: dtype });
  const matrices = {
    ...base.matrices,
    x: { ...base.matrices.x!, values: Float64Array.of(1) },
    weight: { ...base.matrices.weight!, values },
  };
  for (const simd of ["auto", "avx2", "sse2"] as const) {
    if (simd !== "auto" && process.arch !== "x64") continue;
    using device = createCpuDevice({ threads: 1, gemm: "blocked", simd });
    const { y } = await runKernelCase(device, { ...base, matrices });
    for (const [pattern, value] of values.entries()) {
      // A product with 1, added to 0: a zero loses its sign.
      if (y[pattern] !== value && !(Number.isNaN(value) && Number.isNaN(y[pattern]!))) {
        expect({ pattern, y: y[pattern] }).toEqual({ pattern, y: value });
      }
    }
  }
});

test("halves round to even", () => {
  expect([...roundValues("bf16", [1 + 2 ** -8, 1 + 3 * 2 ** -8])]).toEqual([1, 1 + 2 ** -6]);
  expect([...roundValues("f16", [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 2 ** -24])]).toEqual(
    [1, 1 + 2 ** -9, 65504, Number.POSITIVE_INFINITY, 0, 2 ** -24],
  );
});
