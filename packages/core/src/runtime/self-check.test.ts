import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCpuDevice, type Device, type Executable, type Submission } from "@vitgraph/cuda-kernels";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "../models/load-model.js";
import { writeMiniatureCheckpoint } from "../testing/miniature-checkpoint.js";
import type { CapturedGraphs } from "./open-encoder.js";
import type { GraphCheck, GraphFailure } from "./self-check.js";
import { VisionEncoder } from "./vision-encoder.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
});
afterEach(() => rm(directory, { recursive: true }));

/** The merged embedding, and one deepstack level. */
const MINIATURE_COLUMNS = 8 + 8;

/** A device that captures, and whose replays of one capacity are spoiled: `outputs` are the rows of each item. */
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

async function failuresWith(device: Device, budgets: readonly number[] = [4, 16, 64]) {
  const model = await loadModel(directory);
  const failures: GraphFailure[] = [];
  const captured: CapturedGraphs[] = [];
  const checks: GraphCheck[] = [];
  const encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [...budgets] },
    maxBatchTokens: Math.max(...budgets),
    onGraphChecked: (check) => checks.push(check),
    onGraphsCaptured: (graphs) => captured.push(graphs),
    onGraphFailure: (failure) => failures.push(failure),
  });
  await model[Symbol.asyncDispose]();
  return { failures, captured, checks, encoder };
}

test("a graph whose replay differs is given up, named and counted, and its budget runs eagerly", async () => {
  using device = deviceWithBadGraph(16, (outputs) => {
    // The last row is left from the run before: what a stale row looks like.
    for (const bytes of outputs) bytes.fill(0x40, bytes.length - 64);
  });
  const { failures, encoder } = await failuresWith(device);
  expect(failures.map(({ budget }) => budget)).toEqual([16]);
  expect(encoder.tokenBudgets).toEqual([4, 64]);
  expect(encoder.stats()).toMatchObject({ failedGraphs: [16], numBudgets: 2 });
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

test("a wrong row in the graph of a smaller class of rows fails its budget", async () => {
  using device = deviceWithBadGraph(96, (outputs) => {
    for (const bytes of outputs) bytes.fill(0, 0, 64);
  });
  const { failures, encoder } = await failuresWith(device, [64, 128]);
  expect(failures.map(({ budget }) => budget)).toEqual([128]);
  encoder[Symbol.dispose]();
});

test("good graphs pass", async () => {
  using device = deviceWithBadGraph(0, () => {});
  const { failures, captured, checks, encoder } = await failuresWith(device);
  expect(failures).toEqual([]);
  expect(checks.map(({ budget, passed }) => [budget, passed])).toEqual([
    [64, true],
    [16, true],
    [4, true],
  ]);
  // A tenth of the limit.
  for (const { relativeL2 } of checks) expect(relativeL2).toBeLessThanOrEqual(1e-6);
  expect(captured).toEqual([
    { budgets: [64, 16, 4], usedBytes: expect.any(Number), freeBytes: expect.any(Number) },
  ]);
  expect(encoder.tokenBudgets).toEqual([4, 16, 64]);
  encoder[Symbol.dispose]();
});

describe.each([1024, 4096])("one wrong row in a graph of %i tokens", (budget) => {
  const ROW_BYTES = 4 * MINIATURE_COLUMNS;
  const rowOf = (bytes: Uint8Array, row: number) => bytes.subarray(row * ROW_BYTES, (row + 1) * ROW_BYTES);
  const rowsOf = (bytes: Uint8Array) => bytes.length / ROW_BYTES;

  /** Each damages batches of one composition only, told by their number of items. */
  const damages: Readonly<Record<string, (outputs: readonly Uint8Array[]) => void>> = {
    "two rows of the large item exchanged": ([only, ...others]) => {
      if (only === undefined || others.length > 1) return;
      const kept = rowOf(only, 17).slice();
      rowOf(only, 17).set(rowOf(only, 400));
      rowOf(only, 400).set(kept);
    },
    "rows of two small items exchanged": (outputs) => {
      if (outputs.length < 10) return;
      const [a, b] = [outputs[3] as Uint8Array, outputs[8] as Uint8Array];
      const kept = rowOf(a, 0).slice();
      rowOf(a, 0).set(rowOf(b, 1));
      rowOf(b, 1).set(kept);
    },
    "the budget's last row of zeros": (outputs) => {
      if (outputs.length < 3 || outputs.length > 9) return;
      const last = outputs.at(-1) as Uint8Array;
      rowOf(last, rowsOf(last) - 1).fill(0);
    },
    "a row of another item": (outputs) => {
      if (outputs.length < 2) return;
      rowOf(outputs[1] as Uint8Array, 0).set(rowOf(outputs[0] as Uint8Array, 2));
    },
    "one level of a row of zeros": ([first]) => {
      rowOf(first as Uint8Array, 5).fill(0, 4 * (MINIATURE_COLUMNS - 8));
    },
  };

  // On a CPU, the attention of one item of 4096 tokens takes seconds.
  test.each(Object.keys(damages).slice(0, budget > 1024 ? 1 : undefined))("%s", async (name) => {
    using device = deviceWithBadGraph(budget, damages[name] as (outputs: readonly Uint8Array[]) => void);
    const { checks, encoder } = await failuresWith(device, [budget]);
    expect(checks).toMatchObject([{ budget, passed: false }]);
    encoder[Symbol.dispose]();
  });
});
