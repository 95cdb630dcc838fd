import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createVisionModel, EncoderEngine, type EncoderItem } from "@vitgraph/core";
import { MINIATURE_CONFIG, writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ItemsOf, measureLoad, measureStream } from "./continuous-load.js";
import { randomItems } from "./random-items.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
});
afterAll(() => rm(directory, { recursive: true }));

const [item] = randomItems([{ t: 1, h: 4, w: 6 }], createVisionModel(MINIATURE_CONFIG)) as [EncoderItem];

async function measure(itemsOf: ItemsOf, how: typeof measureLoad = measureLoad) {
  await using engine = await openEngine();
  const done: number[] = [];
  const load = await how(engine, itemsOf, {
    callers: 4,
    calls: 10,
    onCall: (calls) => done.push(calls),
  });
  if (load === null) throw new Error("stopped");
  return { load, done };
}

function openEngine() {
  return EncoderEngine.create({
    model: directory,
    devices: [() => createNullDevice()],
    compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [48] },
    outputCacheBytes: 0,
  });
}
test("counts what ran after the calls that fill the pipe, and keeps the load up until the last that counts", async () => {
  const asked: number[] = [];
  const { load, done } = await measure((call) => {
    asked.push(call);
    return [item, item];
  });
  expect(asked).toEqual(Array.from({ length: asked.length }, (_, call) => call));
  // When the last that counts is answered, the other callers may be under way.
  expect(asked.length).toBeGreaterThanOrEqual(14);
  expect(asked.length).toBeLessThan(14 + 4);
  expect(done).toEqual(Array.from({ length: 14 }, (_, call) => call + 1));
  expect(load).toMatchObject({ callers: 4, calls: 10, deviceMs: 0 });
  expect(load.items).toBeLessThanOrEqual(2 * 14);
  expect(load.items).toBeGreaterThan(0);
  expect(load.tokens).toBe(6 * load.items);
  expect(load.padding).toBeCloseTo(1 - load.tokens / (48 * load.batches), 12);
});

test("a stream counts all of its calls, and nothing else", async () => {
  const asked: number[] = [];
  const { load, done } = await measure((call) => {
    asked.push(call);
    return [item, item];
  }, measureStream);
  expect(asked).toEqual(Array.from({ length: 10 }, (_, call) => call));
  expect(done).toEqual(Array.from({ length: 10 }, (_, call) => call + 1));
  expect(load).toMatchObject({ callers: 4, calls: 10, items: 20, tokens: 120, deviceMs: 0 });
});

test("an item that fails ends the measurement with its error", async () => {
  const bad = { ...item, grid: { t: 1, h: 3, w: 6 } };
  await expect(measure(() => [item, bad])).rejects.toMatchObject({ code: "VG_ITEM_INVALID" });
});

test.each([["load", measureLoad] as const, ["stream", measureStream] as const])(
  "a %s that is stopped has no result",
  async (_, how) => {
    await using engine = await openEngine();
    let calls = 0;
    const options = { callers: 2, calls: 10, onCall: () => calls++, isStopped: () => calls >= 3 };
    expect(await how(engine, () => [item], options)).toBeNull();
    expect(calls).toBeLessThan(10);
  },
);
