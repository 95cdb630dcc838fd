import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCpuDevice, type Device, type Executable, type Submission } from "@vitgraph/cuda-kernels";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadModel } from "../models/load-model.js";
import { writeMiniatureCheckpoint } from "../testing/miniature-checkpoint.js";
import type { GraphFailure } from "./self-check.js";
import { type CapturedGraphs, VisionEncoder } from "./vision-encoder.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
});
afterEach(() => rm(directory, { recursive: true }));

/** A device that captures, and whose replays of one capacity are spoiled. */
function deviceWithBadGraph(badTokens: number, spoil: (outputs: readonly Uint8Array[]) => void): Device {
  const device = createCpuDevice();
  const load: Device["load"] = (program, arenas) => {
    const executable = device.load(program, arenas);
    let captured = false;
    const tokens = program.dims.find(({ name }) => name === "tokens")?.capacity;
    return {
      program,
      capture: async () => {
        captured = true;
        return { measureMs: 0, captureMs: 0 };
      },
      submit: async (submission: Submission) => {
        const result = await executable.submit(submission);
        if (captured && tokens === badTokens) spoil(result.outputs);
        return result;
      },
      [Symbol.dispose]: () => executable[Symbol.dispose](),
    } satisfies Executable;
  };
  return new Proxy(device, {
    get: (target, name) => {
      if (name === "load") return load;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function failuresWith(device: Device) {
  const model = await loadModel(directory);
  const failures: GraphFailure[] = [];
  const captured: CapturedGraphs[] = [];
  const encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [4, 16, 64] },
    onGraphsCaptured: (graphs) => captured.push(graphs),
    onGraphFailure: (failure) => failures.push(failure),
  });
  await model[Symbol.asyncDispose]();
  return { failures, captured, encoder };
}

test("a graph whose replay differs is given up, named and counted, and its budget runs eagerly", async () => {
  using device = deviceWithBadGraph(16, (outputs) => {
    // The last row is left from the run before: what a stale row looks like.
    for (const bytes of outputs) bytes.fill(0x40, bytes.length - 64);
  });
  const { failures, encoder } = await failuresWith(device);
  expect(failures.map(({ budget }) => budget)).toEqual([16]);
  expect(encoder.tokenBudgets).toEqual([4, 64]);
  expect(encoder.stats()).toMatchObject({ failed_graphs: [16], num_budgets: 2 });
  const pixels = new Uint8Array(8 * 6 * 12);
  const [outcome] = await encoder.encode([{ format: "u8_still", grid: { t: 1, h: 8, w: 6 }, pixels }]);
  expect(outcome).toMatchObject({ status: "fulfilled", value: { tokens: 12, batch: { budget: null } } });
  encoder[Symbol.dispose]();
});

test("a replay with NaN in it fails the check", async () => {
  using device = deviceWithBadGraph(4, (outputs) => {
    for (const bytes of outputs) bytes.fill(0xff, 0, 4);
  });
  const { failures, encoder } = await failuresWith(device);
  expect(failures).toEqual([{ budget: 4, relativeL2: Number.NaN }]);
  encoder[Symbol.dispose]();
});

test("good graphs pass", async () => {
  using device = deviceWithBadGraph(0, () => {});
  const { failures, captured, encoder } = await failuresWith(device);
  expect(failures).toEqual([]);
  expect(captured).toEqual([
    { budgets: [64, 16, 4], usedBytes: expect.any(Number), freeBytes: expect.any(Number) },
  ]);
  expect(encoder.tokenBudgets).toEqual([4, 16, 64]);
  encoder[Symbol.dispose]();
});
