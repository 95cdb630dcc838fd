/** The op suite: every kernel, on every backend and instruction set of this machine, against its float64 twin. */
import { describe, expect, test } from "vitest";
import { type CpuDeviceOptions, createCpuDevice } from "./cpu-device.js";
import type { Device } from "./device.js";
import { ACTIVATIONS, type KernelName } from "./kernels.js";
import { activationCase, type KernelCase, kernelCases, linearCase } from "./testing/kernel-cases.js";
import type { ReferenceMatrix } from "./testing/reference.js";
import { deviationOf, F32_TOLERANCES, referenceOf, runKernelCase, toleranceOf } from "./testing/run-case.js";

const variants: readonly CpuDeviceOptions[] = [
  ...(["avx512", "avx2", "sse2", "neon"] as const).map((simd) => ({ simd, gemm: "blocked" as const })),
  { gemm: "openblas" },
  { threads: 1, gemm: "blocked" },
  // More threads than cores: chunks end in every order.
  { threads: 7, gemm: "blocked" },
];

const devices = variants.flatMap((options): [name: string, device: Device][] => {
  try {
    return [[`cpu ${JSON.stringify(options)}`, createCpuDevice(options)]];
  } catch {
    // An instruction set that this processor lacks, or an addon without OpenBLAS.
    return [];
  }
});

test("there is a device to test", () => {
  expect(devices.length).toBeGreaterThanOrEqual(3);
});

const bf16 = (() => {
  try {
    return createCpuDevice({ dtype: "bf16" });
  } catch {
    // A processor without AVX512-BF16.
    return undefined;
  }
})();

const references = new Map<KernelCase, ReferenceMatrix>();

/** Computed once for all devices. */
function cachedReference(kernelCase: KernelCase): ReferenceMatrix {
  const reference = references.get(kernelCase) ?? referenceOf(kernelCase);
  references.set(kernelCase, reference);
  return reference;
}

const f32Cases = kernelCases("f32");
const cases = f32Cases.map((kernelCase) => [kernelCase.name, kernelCase] as const);

describe.skipIf(bf16 === undefined)("cpu, products in bf16", () => {
  // Each factor is rounded by at most 2⁻⁹ of itself, and random errors of many terms mostly cancel.
  const tolerance = { relativeL2: 3e-3, relativeMax: 1e-2 };
  // Sharp attention multiplies the rounding of its logits, whatever the kernel.
  // Rows that were f32 lose their deviations to a mean that is larger: norms are folded where rows are bf16 already.
  const products = f32Cases.filter(
    ({ kernel, name }) =>
      (kernel.startsWith("linear") && !kernel.startsWith("linear_norm")) ||
      (kernel === "attention" && !name.includes("sharpness")),
  );

  test.each(products.map((kernelCase) => [kernelCase.name, kernelCase] as const))(
    "%s",
    async (_, kernelCase) => {
      const { y, strayBytes } = await runKernelCase(bf16 as Device, kernelCase);
      const deviation = deviationOf(y, cachedReference(kernelCase));
      expect(strayBytes).toBe(0);
      expect(deviation.relativeL2).toBeLessThanOrEqual(tolerance.relativeL2);
      expect(deviation.relativeMax).toBeLessThanOrEqual(tolerance.relativeMax);
    },
  );

  test("factors are rounded to nearest even, and sums are not rounded", async () => {
    // 1 + 2⁻⁸ lies between two bfloat16 and goes to the even one, 1; 2¹² times 1 and once 1 need a float32's mantissa.
    const depth = 2 ** 12 + 1;
    const product = linearCase({ m: 1, n: 1, k: depth });
    const ones = new Float64Array(depth).fill(1 + 2 ** -8);
    const matrices = Object.fromEntries(
      Object.entries(product.matrices).map(([name, matrix]) => [name, { ...matrix, values: ones }]),
    );
    const { y } = await runKernelCase(bf16 as Device, {
      ...product,
      matrices: { ...product.matrices, x: matrices.x!, weight: matrices.weight! },
    });
    expect(y[0]).toBe(depth);
  });
});

describe.each(devices)("%s", (_, device) => {
  test.each(cases)("%s", async (_, kernelCase) => {
    const { y, strayBytes } = await runKernelCase(device, kernelCase);
    const deviation = deviationOf(y, cachedReference(kernelCase));
    const { relativeL2, relativeMax } = toleranceOf(kernelCase, F32_TOLERANCES);
    expect(strayBytes).toBe(0);
    expect(deviation.relativeL2).toBeLessThanOrEqual(relativeL2);
    expect(deviation.relativeMax).toBeLessThanOrEqual(relativeMax);
  });

  test.each(ACTIVATIONS)("%s is close everywhere, down to its tails", async (activation) => {
    const sweep = activationCase({ m: 1, n: 20001, activation });
    const x = sweep.matrices.x!;
    const values = Float64Array.from({ length: 20001 }, (_, i) => Math.fround(i / 500 - 20));
    const kernelCase = { ...sweep, matrices: { ...sweep.matrices, x: { ...x, values } } };
    const { y } = await runKernelCase(device, kernelCase);
    const expected = referenceOf(kernelCase).values;
    // In the tails exp carries an error of u times its argument, which is 80 where f32 ends.
    for (const [i, value] of expected.entries()) {
      expect(Math.abs(y[i]! - value)).toBeLessThanOrEqual(1e-5 * Math.abs(value) + 1e-34);
    }
  });

  test("NaN stays NaN in every kernel that reads it", async () => {
    const readers: Partial<Record<KernelName, string>> = {
      activation: "x",
      add: "b",
      layernorm: "x",
      attention: "v",
      rmsnorm: "x",
      gate: "up",
      mean_groups: "x",
      rmsnorm_groups: "x",
      clamp: "x",
      standardize: "x",
    };
    for (const kernelCase of f32Cases) {
      const input = readers[kernelCase.kernel];
      if (input === undefined || /0×|, ,/.test(kernelCase.name)) continue;
      const name = kernelCase.operands[input]!.matrix;
      const matrix = kernelCase.matrices[name]!;
      // The pattern that filling memory with 0xff makes.
      const values = matrix.values!.map(() => Number.NaN);
      const matrices = { ...kernelCase.matrices, [name]: { ...matrix, values } };
      const { y } = await runKernelCase(device, { ...kernelCase, matrices });
      expect(y.every(Number.isNaN), kernelCase.name).toBe(true);
    }
  });
});
