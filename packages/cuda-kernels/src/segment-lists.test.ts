/** Several segment lists in one program, on every backend. */
import { describe, expect, test } from "vitest";
import { createCpuDevice } from "./cpu-device.js";
import { createCudaDevice } from "./cuda-device.js";
import { describeBackends } from "./doctor.js";
import { BF16_TOLERANCES } from "./testing/bf16-cases.js";
import { F32_TOLERANCES } from "./testing/run-case.js";
import { checkSegmentLists } from "./testing/segment-lists.js";

const { usable } = describeBackends().backends.cuda;
if (!usable) console.warn("segment lists: SKIPPED on cuda, which is not usable here (see `vitgraph doctor`)");

describe.each([
  ["cpu", true, () => createCpuDevice({ gemm: "blocked" }), 320, F32_TOLERANCES.attention],
  ["cuda", usable, () => createCudaDevice({ algorithmCache: "" }), 2304, BF16_TOLERANCES.attention],
] as const)("%s", (_, runs, create, capacity, tolerance) => {
  test.runIf(runs)("each attention op of a program keeps to its own list, in every run", async () => {
    using device = create();
    for (const { name, relativeL2, relativeMax, strayBytes } of await checkSegmentLists(device, capacity)) {
      expect(strayBytes, name).toBe(0);
      expect(relativeL2, name).toBeLessThanOrEqual(tolerance.relativeL2);
      expect(relativeMax, name).toBeLessThanOrEqual(tolerance.relativeMax);
    }
  });
});
