/** The op suite on CUDA: every kernel against its float64 twin, in bf16. Skipped, loudly, where there is no GPU. */
import { describe, expect, test } from "vitest";
import { createCudaDevice } from "./cuda-device.js";
import { describeBackends } from "./doctor.js";
import { KERNEL_NAMES } from "./kernels.js";
import { BF16_TOLERANCES, bf16Cases } from "./testing/bf16-cases.js";
import { deviationOf, referenceOf, runKernelCase, toleranceOf } from "./testing/run-case.js";

const { usable } = describeBackends().backends.cuda;
if (!usable) console.warn("op suite: SKIPPED on cuda, which is not usable here (see `vitgraph doctor`)");

const cases = bf16Cases();

test("most of the suite's cases are among those for bf16", () => {
  expect(cases.length).toBeGreaterThan(60);
  expect(new Set(cases.map(({ kernel }) => kernel)).size).toBe(KERNEL_NAMES.length);
});

describe.skipIf(!usable)("cuda", () => {
  test.each(cases.map((kernelCase) => [kernelCase.name, kernelCase] as const))(
    "%s",
    async (_, kernelCase) => {
      using device = createCudaDevice({ algorithmCache: "" });
      const { y, strayBytes } = await runKernelCase(device, kernelCase);
      const deviation = deviationOf(y, referenceOf(kernelCase));
      const { relativeL2, relativeMax } = toleranceOf(kernelCase, BF16_TOLERANCES);
      expect(strayBytes).toBe(0);
      expect(deviation.relativeL2).toBeLessThanOrEqual(relativeL2);
      expect(deviation.relativeMax).toBeLessThanOrEqual(relativeMax);
    },
  );
});
