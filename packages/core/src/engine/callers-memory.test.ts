/**
 * Isolation of callers: a caller that writes to, transfers or shrinks its memory at any time cannot change another
 * caller's result or crash the process. The tests run on a CPU device, so that results depend on pixels.
 */
import { getEventListeners } from "node:events";
import { createCpuDevice } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { VideoProcessor } from "../images/index.js";
import type { PixelItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import type { Embedding } from "../runtime/embedding.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { EncoderEngine } from "./encoder-engine.js";
import type { EngineItem } from "./engine-item.js";
import type { EncoderEngineOptions } from "./engine-options.js";
import { OutputCache } from "./output-cache.js";

let miniature: MiniatureModel;
let other: MiniatureModel;
let model: LoadedModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
  other = await openMiniatureModel({
    edit: (tensors) =>
      tensors.map((tensor) => ({
        ...tensor,
        bytes: tensor.bytes.map((byte, at) => byte ^ (at % 2 ? 0 : 0x55)),
      })),
  });
  // The miniature checkpoint has no processor file.
  const sizes = { patchSize: 2, doResize: false };
  model = {
    ...miniature.model,
    processor: { ...miniature.model.processor, ...sizes },
    videoProcessor: { ...(miniature.model.videoProcessor as VideoProcessor), ...sizes },
  };
});
afterAll(() => Promise.all([miniature[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]));

const newEngine = (options: Partial<EncoderEngineOptions> = {}) =>
  EncoderEngine.create({
    model,
    devices: [() => createCpuDevice({ threads: 1 })],
    maxBatchTokens: 64,
    ...options,
  });

/** A still of 2 × 2 tokens with pixels that depend on `seed`. */
function still(seed: number, side = 4): PixelItem {
  const pixels = Uint8Array.from({ length: side * side * 12 }, (_, index) => index * seed + (index >> 3));
  return { format: "u8_still", grid: { t: 1, h: side, w: side }, pixels };
}

function transfer({ buffer }: ArrayBufferView): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
}

async function one(engine: EncoderEngine, item: EngineItem): Promise<Embedding> {
  const [outcome] = await engine.encode([item]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return outcome.value;
}

const numbersOf = async (engine: EncoderEngine, item: EngineItem) => [...(await one(engine, item)).data];

const codesOf = (outcomes: readonly PromiseSettledResult<unknown>[]) =>
  outcomes.map((outcome) => (outcome.status === "fulfilled" ? "fulfilled" : outcome.reason.code));

describe("results", () => {
  test.each([undefined, "name"])("are owned by their callers, with uuid %s", async (uuid) => {
    await using engine = await newEngine();
    const item = () => (uuid === undefined ? still(3) : { ...still(3), uuid });
    const right = await numbersOf(engine, still(3));
    const together = await Promise.all([1, 2, 3].map(() => one(engine, item())));
    for (const answer of together) {
      expect([...answer.data]).toEqual(right);
      answer.data.fill(42);
      transfer(answer.bytes);
    }
    expect(await numbersOf(engine, item())).toEqual(right);
  });

  test("of two models in one cache are separate", async () => {
    const outputCache = new OutputCache(2 ** 20);
    await using first = await newEngine({ outputCache });
    await using second = await newEngine({ outputCache, model: other.model });
    const named = { ...still(3), uuid: "u" };
    const answers = [await numbersOf(first, named), await numbersOf(second, named)];
    expect(answers[0]).not.toEqual(answers[1]);
    expect(outputCache.stats()).toMatchObject({ hits: 0, misses: 2, entries: 2 });
  });
});

describe("pixels", () => {
  test.each([undefined, "name"])(
    "that change while they wait do not poison the cache, with uuid %s",
    async (uuid) => {
      for (let turns = 0; turns < 12; turns++) {
        await using engine = await newEngine({ batchWindowMs: 5 });
        const evil = { ...still(3), ...(uuid === undefined ? {} : { uuid }) };
        const call = engine.encode([evil]);
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        evil.pixels.fill(255);
        await call;
        // A named item that is changed at once has other content under its name, so it is not tested here.
        const victim: EngineItem = uuid === undefined || turns === 0 ? still(3) : { ...still(3), uuid };
        await using fresh = await newEngine({ outputCacheBytes: 0 });
        const answer = await numbersOf(engine, victim);
        const expected = await numbersOf(fresh, still(3));
        if (uuid === undefined) expect(answer).toEqual(expected);
        else expect([expected, await numbersOf(fresh, evilOf())]).toContainEqual(answer);
      }
      function evilOf(): PixelItem {
        const item = still(3);
        item.pixels.fill(255);
        return item;
      }
    },
  );

  test.each([0, 2 ** 20])(
    "that are transferred while they wait fail alone (cache of %i bytes)",
    async (outputCacheBytes) => {
      for (let turns = 0; turns < 6; turns++) {
        await using engine = await newEngine({ outputCacheBytes, batchWindowMs: 5 });
        const right = await numbersOf(engine, still(5));
        await one(engine, still(9));
        const gone = still(7);
        const calls = Promise.all([engine.encode([gone, still(5)]), engine.encode([still(5)])]);
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        transfer(gone.pixels);
        const [[lost, first], [second]] = (await calls) as PromiseSettledResult<Embedding>[][] as [
          [PromiseSettledResult<Embedding>, PromiseSettledResult<Embedding>],
          [PromiseSettledResult<Embedding>],
        ];
        // Either a copy was made before the transfer, or the item fails.
        if (lost.status === "fulfilled")
          expect([...lost.value.data]).toEqual(await numbersOf(engine, still(7)));
        else expect(lost.reason.code).toBe("VG_ITEM_INVALID");
        for (const outcome of [first, second]) {
          expect(outcome.status === "fulfilled" && [...outcome.value.data]).toEqual(right);
        }
      }
    },
  );

  test("in shared or transferred memory are refused, each item alone", async () => {
    await using engine = await newEngine();
    const raster = { height: 8, width: 8, rgb: new Uint8Array(192) };
    const shared = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));
    const gone = { height: 8, width: 8, rgb: new Uint8Array(192) };
    transfer(gone.rgb);
    const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const sharedPng = shared(png.length);
    sharedPng.set(png);
    const outcomes = await engine.encode([
      { raster },
      { raster: { ...raster, rgb: shared(192) } },
      { raster: gone },
      { raster: { ...raster, height: 9 } },
      { raster: null } as never,
      { frames: [raster, gone] },
      { frames: [raster, raster] },
      { image: sharedPng },
      { ...still(3), pixels: shared(192) },
      { pixel_values: new Float32Array(new SharedArrayBuffer(16 * 24 * 4)), grid_thw: [1, 4, 4] },
    ]);
    const bad = "VG_ITEM_INVALID";
    expect(codesOf(outcomes)).toEqual(["fulfilled", bad, bad, bad, bad, bad, "fulfilled", bad, bad, bad]);
  });

  test("and grids are not read again if a caller replaces them after the call", async () => {
    await using engine = await newEngine();
    const right = await numbersOf(engine, still(3));
    const item = still(3) as { -readonly [K in keyof PixelItem]: PixelItem[K] };
    const items = [item];
    const call = engine.encode(items);
    item.grid = { t: 1, h: 2, w: 8 };
    items.length = 0;
    const [outcome] = await call;
    expect(outcome?.status === "fulfilled" && [...outcome.value.data]).toEqual(right);
  });

  test("of an image that is replaced after its header was read cause an error", async () => {
    await using engine = await newEngine();
    const png = (width: number) =>
      sharp({ create: { width, height: 8, channels: 3, background: "red" } })
        .png({ compressionLevel: 0 })
        .toBuffer();
    const [small, large] = await Promise.all([png(8), png(16)]);
    for (let turns = 0; turns < 40; turns++) {
      const memory = new Uint8Array(large.length);
      memory.set(small);
      const call = engine.encode([{ image: memory }]);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      memory.set(large);
      const [outcome] = await call;
      if (outcome?.status === "fulfilled") {
        expect([4, 8]).toContain(outcome.value.tokens);
      } else {
        expect(outcome?.reason).toMatchObject({ code: expect.stringMatching(/VG_(ITEM|IMAGE)_INVALID/) });
      }
    }
  });
});

test("an image may be a Uint8Array, Buffer, ArrayBuffer or Blob", async () => {
  await using engine = await newEngine({ outputCacheBytes: 0 });
  const buffer = await sharp({ create: { width: 8, height: 8, channels: 3, background: "blue" } })
    .png()
    .toBuffer();
  const bytes = new Uint8Array(buffer);
  const answers = await Promise.all(
    [bytes, buffer, bytes.buffer, new Blob([bytes])].map((image) => numbersOf(engine, { image })),
  );
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  expect(await engine.getItemSpecs([{ image: new Blob([bytes]) }])).toMatchObject([{ status: "fulfilled" }]);
});

test("an object with an arbitrary size property does not corrupt shares or memory counts", async () => {
  await using engine = await newEngine({ outputCacheBytes: 0 });
  const claims = [Number.POSITIVE_INFINITY, -5, Number.NaN, 2 ** 60].map((size) => ({
    image: { size, byteLength: size, arrayBuffer: async () => new ArrayBuffer(8) } as unknown as Blob,
  }));
  expect(codesOf(await engine.encode(claims))).toEqual(claims.map(() => "VG_IMAGE_INVALID"));
  const right = await numbersOf(engine, still(3));
  expect(await numbersOf(engine, still(3))).toEqual(right);
  expect(engine.stats().queue).toMatchObject({ items: 0, preparing: 0 });
});

test("an item rejects with a VitgraphError, whatever its Blob or a getter throws or returns", async () => {
  await using engine = await newEngine({ outputCacheBytes: 0 });
  const blob = (arrayBuffer: () => unknown) => ({ size: 3, arrayBuffer });
  const gone = blob(async () => {
    throw new Error("the file has changed");
  });
  const outcomes = await engine.encode([
    { image: gone },
    { video: gone },
    { image: blob(() => 5e9) },
    { image: blob(async () => new SharedArrayBuffer(3)) },
    {
      get image() {
        throw new Error("no image today");
      },
    },
  ] as never);
  const messages = outcomes.map((outcome) =>
    outcome.status === "rejected" && VitgraphError.is(outcome.reason) ? outcome.reason.message : outcome,
  );
  const remedy = "pass a Blob whose content can still be read, or its bytes";
  expect(messages).toEqual([
    `item.image cannot be read (the file has changed): ${remedy}`,
    `item.video cannot be read (the file has changed): ${remedy}`,
    `item.image.arrayBuffer() returned 5000000000: ${remedy}`,
    `item.image.arrayBuffer() returned an object of type SharedArrayBuffer: ${remedy}`,
    "the item could not be opened (no image today)",
  ]);
});

test("the error of an invalid item states in one line how to pass one", async () => {
  await using engine = await newEngine();
  const outcomes = await engine.encode([
    Buffer.alloc(200_000),
    { image: "photo.jpg" },
    { image: new URL("https://example.org/photo.jpg") },
    { image: `data:image/png;base64,${"A".repeat(100_000)}` },
    { image: null },
    { format: "x".repeat(100_000) },
    Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key ${index}`, 1])),
  ] as never);
  const messages = outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason.message : ""));
  expect(messages.slice(0, 5)).toEqual([
    "an item is a Uint8Array of 200000 bytes: wrap bytes: { image: bytes }",
    'item.image is "photo.jpg", not the bytes of an image: read the file: { image: await readFile(path) }',
    "item.image is an object of type URL, not the bytes of an image: fetch it: { image: await (await fetch(url)).arrayBuffer() }",
    expect.stringContaining('decode the data URL: Buffer.from(url.slice(url.indexOf(",") + 1), "base64")'),
    "item.image is null, not the bytes of an image: pass a Uint8Array, an ArrayBuffer or a Blob",
  ]);
  for (const message of messages) expect(message.length).toBeLessThan(400);
});

test("encode without a list rejects the call without side effects", async () => {
  await using engine = await newEngine();
  for (const items of [new Uint8Array(600), { length: -5 }, { image: new Uint8Array(3) }, "path", null]) {
    for (const method of ["encode", "getItemSpecs"] as const) {
      await expect(engine[method](items as never)).rejects.toMatchObject({
        code: "VG_ARGUMENT_INVALID",
        message: expect.stringMatching(
          new RegExp(`not a list: pass a list: ${method}\\(\\[\\{ image: bytes \\}\\]\\)`),
        ),
      });
    }
  }
  expect(engine.stats().queue).toMatchObject({ items: 0, tokens: 0, preparing: 0 });
});

test("one signal serves many calls with one listener, which is removed", async () => {
  const warnings: string[] = [];
  const listen = (warning: Error) => warnings.push(warning.name);
  process.on("warning", listen);
  await using engine = await newEngine();
  const { signal } = new AbortController();
  const calls = Array.from({ length: 40 }, (_, seed) => engine.encode([still(seed)], { signal }));
  expect(getEventListeners(signal, "abort").length).toBeLessThanOrEqual(1);
  await Promise.all(calls);
  await new Promise((resolve) => setImmediate(resolve));
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
  process.off("warning", listen);
  expect(warnings).toEqual([]);
});
