/**
 * The op suite on CUDA: every kernel against its float64 twin, in bf16, step by step and replayed. Skipped, loudly, where
 * there is no GPU.
 */
import { describe, expect, test } from "vitest";
import { createCudaDevice } from "./cuda-device.js";
import { describeBackends } from "./doctor.js";
import { KERNEL_NAMES } from "./kernels.js";
import { BF16_TOLERANCES, bf16Cases } from "./testing/bf16-cases.js";
import { deviationOf, loadKernelCase, referenceOf, toleranceOf } from "./testing/run-case.js";

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
      using loaded = await loadKernelCase(device, kernelCase);
      const reference = referenceOf(kernelCase);
      const { relativeL2, relativeMax } = toleranceOf(kernelCase, BF16_TOLERANCES);
      const eager = await loaded.run();
      expect(eager.strayBytes).toBe(0);
      await loaded.capture();
      for (const { y } of [eager, await loaded.run()]) {
        const deviation = deviationOf(y, reference);
        expect(deviation.relativeL2).toBeLessThanOrEqual(relativeL2);
        expect(deviation.relativeMax).toBeLessThanOrEqual(relativeMax);
      }
    },
  );
});
