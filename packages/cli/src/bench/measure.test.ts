import { createVisionModel, type EncoderItem, type LoadedModel, VisionEncoder } from "@vitgraph/core";
import { MINIATURE_CONFIG, type MiniatureModel, openMiniatureModel } from "@vitgraph/core/testing";
import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type MeasureOptions, measureWorkload, median } from "./measure.js";
import { randomItems } from "./random-items.js";
import type { Workload } from "./workloads.js";

let miniature: MiniatureModel;
let model: LoadedModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
  model = miniature.model;
});
afterAll(() => miniature[Symbol.asyncDispose]());

const vision = createVisionModel(MINIATURE_CONFIG);
const FOUR_OF_SIX: Workload = {
  name: "four",
  sizes: [
    [8, 12],
    [8, 12],
    [8, 12],
    [8, 12],
  ],
};

async function measure(
  compilationConfig: object,
  items: readonly EncoderItem[] = randomItems(new Array(4).fill({ t: 1, h: 4, w: 6 }), vision),
  options: Partial<MeasureOptions> = {},
) {
  using device = createNullDevice();
  // Without the grid cache, whose fills would be submissions too.
  using encoder = await VisionEncoder.create({ model, device, compilationConfig, gridCacheBytes: 0 });
  const calls: number[] = [];
  const measured = await measureWorkload(encoder, FOUR_OF_SIX, items, {
    repetitions: 3,
    warmup: 2,
    onCall: (done) => calls.push(done),
    ...options,
  });
  return { measured, submissions: device.submissions.length, calls };
}

test("counts the work, and runs the warm-up without timing it, then several calls at once", async () => {
  const { measured, submissions, calls } = await measure({
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: [32],
  });
  expect(measured).toMatchObject({
    name: "four",
    frames: null,
    items: 4,
    patches: 96,
    tokens: 24,
    batches: [{ items: 4, tokens: 24, budget: 32 }],
    padding: 0.25,
  });
  expect(measured.repetitions).toHaveLength(3);
  expect(measured.inFlight?.callMs).toBeGreaterThan(0);
  // Five calls one by one, then three that fill the pipe and three that are timed.
  expect(submissions).toBe(11);
  expect(calls).toEqual([1, 2, 3, 4, 5]);
});

test("sums the device's time over the batches of a call", async () => {
  const { measured, submissions } = await measure({
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: [16],
  });
  expect(measured.batches).toEqual([
    { items: 2, tokens: 12, budget: 16 },
    { items: 2, tokens: 12, budget: 16 },
  ]);
  expect(measured.padding).toBe(0.25);
  expect(submissions).toBe(22);
});

test("without time for more, one call is made and timed, and none in flight", async () => {
  const { measured, submissions } = await measure({}, undefined, { limitMs: 0 });
  expect(submissions).toBe(1);
  expect(measured.repetitions).toHaveLength(1);
  expect(measured.inFlight).toBeNull();
});

test("few repetitions are not timed in flight: their mean could be below the device's time", async () => {
  const { measured } = await measure({}, undefined, { repetitions: 2 });
  expect(measured.repetitions).toHaveLength(2);
  expect(measured.inFlight).toBeNull();
});

test("stopped by the user, it keeps the calls that were made", async () => {
  let calls = 0;
  const { measured, submissions } = await measure({}, undefined, {
    onCall: (done) => {
      calls = done;
    },
    isStopped: () => calls === 4,
  });
  expect(submissions).toBe(4);
  expect(measured.repetitions).toHaveLength(2);
  expect(measured.inFlight).toBeNull();
});

test("an eager batch has no padding", async () => {
  const { measured } = await measure({ cudagraph_mm_encoder: false });
  expect(measured.batches).toEqual([{ items: 4, tokens: 24, budget: null }]);
  expect(measured.padding).toBe(0);
});

test("an item that fails ends the measurement with its error", async () => {
  const [first] = randomItems(new Array(4).fill({ t: 1, h: 4, w: 6 }), vision);
  const bad = { ...first, grid: { t: 1, h: 3, w: 6 } } as EncoderItem;
  await expect(measure({}, [bad])).rejects.toMatchObject({ code: "VG_ITEM_INVALID" });
});

test.each([
  [[3], 3],
  [[3, 1, 2], 2],
  [[4, 1, 3, 2], 2.5],
])("the median of %j is %f", (values, expected) => {
  expect(median(values)).toBe(expected);
});
