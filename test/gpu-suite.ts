/**
 * What the tests ask of a CUDA device, as one plain script: for GPU machines that have no npm. `pnpm bundle` packs it.
 * Prints a line a failure and exits with 1 if there was one.
 *
 *     node gpu-suite.mjs [MODEL_DIR [REPLAYS]]    kernels against float64, then the field's bugs on the model's
 *                                                 device, and as many more replays under changing content
 */
import { createDevice } from "@vitgraph/core";
import {
  BF16_TOLERANCES,
  bf16Cases,
  checkSegmentLists,
  type Deviation,
  deviationOf,
  type KernelCase,
  loadKernelCase,
  type ReferenceMatrix,
  referenceOf,
  type Tolerance,
  toleranceOf,
} from "@vitgraph/cuda-kernels/testing";
import { replaysUnderChangingContent, runScenario, SCENARIOS } from "./field-bugs.js";

const [modelDirectory, replays] = process.argv.slice(2);
using device = createDevice({ backend: "cuda", algorithmCache: "" });
console.log(device.info.name);

let failures = 0;
const report = (name: string, problem: unknown) => {
  failures += 1;
  console.log(`FAILED ${name}: ${problem instanceof Error ? problem.message : problem}`);
};

const cases = bf16Cases().map((kernelCase) => ({ kernelCase, reference: referenceOf(kernelCase) }));
// Step by step, before anything is measured; then as captures have it: with the fastest of our own products and cuBLASLt's.
for (const replayed of [false, true]) {
  for (const { kernelCase, reference } of cases) {
    await checkKernel(kernelCase, reference, replayed).catch((error) => report(kernelCase.name, error));
  }
  console.log(`kernels${replayed ? ", replayed" : ""}: ${cases.length} cases, ${failures} failed`);
}

const lists = await checkSegmentLists(device, 2304);
for (const result of lists) checkResult(result.name, result.strayBytes, result, BF16_TOLERANCES.attention);
console.log(`segment lists: ${lists.length} outputs, ${failures} failed in all`);

if (modelDirectory !== undefined) {
  const soak = replays === undefined ? [] : [replaysUnderChangingContent(Number(replays))];
  for (const scenario of [...SCENARIOS, ...soak]) {
    const started = performance.now();
    await runScenario(scenario, device, modelDirectory, 3e-2).then(
      () => console.log(`ok ${scenario.name} (${((performance.now() - started) / 1000).toFixed(1)} s)`),
      (error) => report(scenario.name, error),
    );
  }
}
console.log(failures === 0 ? "all passed" : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;

async function checkKernel(
  kernelCase: KernelCase,
  reference: ReferenceMatrix,
  replayed: boolean,
): Promise<void> {
  using loaded = await loadKernelCase(device, kernelCase);
  if (replayed) await loaded.capture();
  const { y, strayBytes } = await loaded.run();
  // cuBLASLt also computes the rows beyond the counts.
  const stray = replayed && kernelCase.kernel.startsWith("linear") ? 0 : strayBytes;
  const name = `${kernelCase.name}${replayed ? ", replayed" : ""}`;
  checkResult(name, stray, deviationOf(y, reference), toleranceOf(kernelCase, BF16_TOLERANCES));
}

function checkResult(name: string, strayBytes: number, deviation: Deviation, tolerance: Tolerance): void {
  const { relativeL2, relativeMax } = deviation;
  if (strayBytes > 0) report(name, `${strayBytes} bytes were written that are none of its rows`);
  if (!(relativeL2 <= tolerance.relativeL2 && relativeMax <= tolerance.relativeMax)) {
    report(name, JSON.stringify({ relativeL2, relativeMax }));
  }
}
