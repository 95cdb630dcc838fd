/**
 * What the tests ask of the CPU device, as one plain script: vitest itself does not run under an emulator. The install test
 * bundles it, and runs it with the packages installed. Prints a line for each failure and exits with 1 if there was one.
 *
 *     node cpu-suite.mjs CASES MODEL_DIR…    kernels against float64, then each model's embeddings against transformers'
 *
 * CASES is a file of `CheckedCase[]`, serialized by v8: an emulator would take most of its time to compute them.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { deserialize } from "node:v8";
import {
  compareWithReference,
  createDevice,
  loadModel,
  SafetensorsFile,
  VisionEncoder,
} from "@vitgraph/core";
import {
  deviationOf,
  F32_TOLERANCES,
  type KernelCase,
  type ReferenceMatrix,
  runKernelCase,
  toleranceOf,
} from "@vitgraph/cuda-kernels/testing";
import { joinEmbeddings, readCase } from "../fixtures.js";

export interface CheckedCase {
  readonly kernelCase: KernelCase;
  readonly reference: ReferenceMatrix;
}

const [casesFile = "", ...models] = process.argv.slice(2);
using device = createDevice({ backend: "cpu" });
console.log(`${process.arch}: ${device.info.name}`);

let failures = 0;
const report = (name: string, problem: unknown) => {
  failures += 1;
  console.log(`FAILED ${name}: ${problem instanceof Error ? problem.message : problem}`);
};

const cases: readonly CheckedCase[] = deserialize(await readFile(casesFile));
for (const { kernelCase, reference } of cases) {
  const { y, strayBytes } = await runKernelCase(device, kernelCase);
  const { relativeL2, relativeMax } = deviationOf(y, reference);
  const tolerance = toleranceOf(kernelCase, F32_TOLERANCES);
  if (strayBytes > 0) report(kernelCase.name, `${strayBytes} bytes were written outside of its rows`);
  if (!(relativeL2 <= tolerance.relativeL2 && relativeMax <= tolerance.relativeMax))
    report(kernelCase.name, JSON.stringify({ relativeL2, relativeMax }));
}
console.log(`kernels: ${cases.length} cases, ${failures} failed`);

for (const directory of models) {
  await using model = await loadModel(directory);
  using encoder = await VisionEncoder.create({ model, device, maxBatchTokens: 256 });
  const path = join(directory, "cases.safetensors");
  await using file = await SafetensorsFile.open(path);
  const count = [...file.tensors.keys()].filter((name) => name.endsWith(".output")).length;
  let worst = 0;
  for (let index = 0; index < count; index += 1) {
    const { items, expected } = await readCase(index, path, model.vision);
    const values = joinEmbeddings(await encoder.encode(items));
    const { relativeL2 } = compareWithReference(values, expected);
    worst = Math.max(worst, relativeL2);
    if (!(relativeL2 <= 1e-5)) report(`${directory}, case ${index}`, JSON.stringify({ relativeL2 }));
  }
  console.log(`${directory}: ${count} cases, largest deviation ${worst.toExponential(1)}`);
}
console.log(failures === 0 ? "all passed" : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;
