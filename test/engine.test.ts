/** The engine, through the public door: many callers at once, on real devices, held against the encoder alone. */
import { readFile } from "node:fs/promises";
import {
  compareWithReference,
  createDevice,
  decodeImage,
  EncoderEngine,
  type EncoderItem,
  type EngineItem,
  loadModel,
  processImage,
  processVideo,
  type Raster,
  VisionEncoder,
  videoProcessorOf,
} from "@vitgraph/core";
import type { Device, Submission } from "@vitgraph/cuda-kernels";
import { beforeAll, describe, expect, test } from "vitest";
import { fixture, readCase, TINY } from "./fixtures.js";

/** The same rows in other company may round otherwise in the last bits of f32. */
const TOLERANCE = 1e-5;
const CONFIG = { compile_mm_encoder: true, cudagraph_mm_encoder: true };
const FILES = [
  "images/image0_224x224.png",
  "images/image3_57x301.png",
  "images/pillow/444.jpg",
  "images/pillow/orientation_6.webp",
  "images/pillow/animated.gif",
];

interface Sample {
  readonly item: EngineItem;
  /** What the encoder makes of it alone. */
  readonly expected: Float32Array;
}

let samples: readonly Sample[];
let cases: Awaited<ReturnType<typeof readCase>>;

beforeAll(async () => {
  await using model = await loadModel(TINY);
  using device = createDevice({ backend: "cpu" });
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig: CONFIG,
    maxBatchTokens: 4096,
  });
  const alone = async (ready: EncoderItem): Promise<Float32Array> => {
    const [outcome] = await encoder.encode([ready]);
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    return outcome.value.data;
  };
  cases = await readCase(1);
  const found: Sample[] = [];
  for (const path of FILES) {
    const image = await readFile(fixture(path));
    const expected = await alone(await processImage(image, model.processor));
    found.push({ item: { image }, expected }, { item: { raster: await decodeImage(image) }, expected });
  }
  const frames = [20, 120, 220, 80].map((level) => grey(64, 96, level));
  const video = await processVideo(frames, videoProcessorOf(model));
  found.push({ item: { frames }, expected: await alone(video) });
  for (const ready of cases.items) {
    if (ready.format !== "normalized") continue;
    const { grid, pixelValues } = ready;
    const expected = await alone(ready);
    found.push(
      { item: ready, expected },
      { item: { pixel_values: pixelValues, grid_thw: [grid.t, grid.h, grid.w] }, expected },
    );
  }
  samples = found;
});

function grey(height: number, width: number, level: number): Raster {
  const rgb = Uint8Array.from({ length: height * width * 3 }, (_, index) => (level + index) & 0xff);
  return { height, width, rgb };
}

const cpus = (count: number) => new Array(count).fill({ backend: "cpu", threads: 1 } as const);

async function createEngine(options: Partial<Parameters<typeof EncoderEngine.create>[0]> = {}) {
  return EncoderEngine.create({
    model: TINY,
    devices: cpus(1),
    compilationConfig: CONFIG,
    maxBatchTokens: 1024,
    ...options,
  });
}

/** A stream of numbers that is the same each time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.each([
  ["one device", { devices: cpus(1) }],
  ["two devices", { devices: cpus(2) }],
  [
    "two devices, no output cache, vLLM's packing",
    { devices: cpus(2), outputCacheBytes: 0, packing: "greedy" },
  ],
] as const)("on %s", (_, options) => {
  test("callers with all kinds of items get what the encoder makes of each, in order", async () => {
    await using engine = await createEngine(options);
    const callers = Array.from({ length: 12 }, async (_, caller) => {
      const next = random(caller + 1);
      for (let call = 0; call < 3; call++) {
        const picked = Array.from(
          { length: 1 + Math.floor(next() * 5) },
          () => samples[Math.floor(next() * samples.length)] as Sample,
        );
        const bad: EngineItem = { image: new Uint8Array([0xff, 0xd8, 0xff]) };
        const outcomes = await engine.encode([...picked.map(({ item }) => item), bad], {
          priority: caller % 3,
        });
        expect(outcomes.pop()).toMatchObject({ status: "rejected", reason: { code: "VG_IMAGE_INVALID" } });
        for (const [at, outcome] of outcomes.entries()) {
          if (outcome.status !== "fulfilled") throw outcome.reason;
          const { relativeL2 } = compareWithReference(outcome.value.data, (picked[at] as Sample).expected);
          expect(relativeL2).toBeLessThanOrEqual(TOLERANCE);
        }
      }
    });
    await Promise.all(callers);
    expect(engine.stats()).toMatchObject({ failedItems: 36, queue: { items: 0, tokens: 0, preparing: 0 } });
  });
});

test("callers who cancel or whose time is over are answered, and the others lose nothing", async () => {
  await using engine = await createEngine({ devices: cpus(2) });
  const callers = Array.from({ length: 16 }, async (_, caller) => {
    const { item, expected } = samples[caller % samples.length] as Sample;
    const controller = new AbortController();
    const leaves = caller % 4 === 1;
    const late = caller % 4 === 2;
    const outcome = engine.encode([item, item], {
      ...(leaves ? { signal: controller.signal } : {}),
      ...(late ? { timeoutMs: 1 } : {}),
    });
    if (leaves) setTimeout(() => controller.abort(), caller / 4);
    const outcomes = await outcome;
    for (const result of outcomes) {
      if (result.status === "fulfilled") {
        const { relativeL2 } = compareWithReference(result.value.data, expected);
        expect(relativeL2).toBeLessThanOrEqual(TOLERANCE);
      } else {
        expect(leaves || late).toBe(true);
        expect(result.reason.code).toBe(leaves ? "VG_ABORTED" : "VG_DEADLINE_EXCEEDED");
      }
    }
  });
  await Promise.all(callers);
  await engine.drain();
  expect(engine.stats().queue).toEqual({ items: 0, tokens: 0, preparing: 0, batchesInFlight: 0 });
});

test("an image above the limit is refused from its header, and the others are answered", async () => {
  await using engine = await createEngine({ limits: { maxPixels: 50_000 } });
  const [large, small] = await Promise.all(
    [FILES[0], FILES[1]].map((path) => readFile(fixture(path as string))),
  );
  const outcomes = await engine.encode([{ image: large as Uint8Array }, { image: small as Uint8Array }]);
  expect(outcomes).toMatchObject([
    {
      status: "rejected",
      reason: { code: "VG_IMAGE_TOO_LARGE", message: /^image of 224 × 224 pixels is above the limit/ },
    },
    { status: "fulfilled" },
  ]);
});

test("an item whose embedding is NaN fails alone, and the device stays up", async () => {
  await using engine = await createEngine();
  const outcomesOfBatches: string[] = [];
  engine.subscribe({ batchEnded: ({ outcome }) => outcomesOfBatches.push(outcome) });
  const { expected } = samples.at(-1) as Sample;
  const { item } = samples.at(-1) as { item: Extract<EngineItem, { pixel_values: Float32Array }> };
  const bad = { ...item, pixel_values: new Float32Array(item.pixel_values.length).fill(Number.NaN) };
  const [alone] = await engine.encode([bad]);
  const [first, second] = await engine.encode([bad, item]);
  for (const outcome of [alone, first]) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { code: "VG_OUTPUT_NOT_FINITE" } });
  }
  if (second?.status !== "fulfilled") throw second?.reason;
  expect(compareWithReference(second.value.data, expected).relativeL2).toBeLessThanOrEqual(TOLERANCE);
  expect(new Set(outcomesOfBatches)).toEqual(new Set(["ok"]));
  expect(engine.stats().devices).toMatchObject([{ state: "up" }]);
});

test("sizes are known from the header alone", async () => {
  await using engine = await createEngine();
  const image = await readFile(fixture("images/image4_2300x1500.jpg"));
  const header = image.subarray(0, 4096);
  expect(await engine.getItemSpecs([{ image: header }])).toMatchObject([
    { status: "fulfilled", value: { outputTokens: 3384, inputSize: 13_536, frames: 1 } },
  ]);
});

/** A CPU device whose runs fail while `broken` says so. */
function fragileDevice(isBroken: () => boolean): Device {
  const device = createDevice({ backend: "cpu", threads: 1 });
  const load: Device["load"] = (program, arenas) => {
    const executable = device.load(program, arenas);
    return {
      program,
      capture: () => executable.capture(),
      submit: async (submission: Submission) => {
        if (isBroken()) throw new Error("an illegal memory access was encountered");
        return executable.submit(submission);
      },
      [Symbol.dispose]: () => executable[Symbol.dispose](),
    };
  };
  return new Proxy(device, {
    get: (target, name) => {
      if (name === "load") return load;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("one failing device leaves the others serving; it is made again, and gives right answers", async () => {
  let broken = false;
  let made = 0;
  const devices = [
    () => {
      const first = made++ === 0;
      return fragileDevice(() => broken && first);
    },
    ...cpus(1),
  ];
  await using engine = await createEngine({ devices, outputCacheBytes: 0 });
  const back = new Promise<void>((resolve) => {
    engine.subscribe({ deviceChanged: ({ state }) => state === "up" && resolve() });
  });
  const check = async () => {
    const outcomes = await engine.encode(samples.map(({ item }) => item));
    let failed = 0;
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome.status === "rejected") {
        expect(outcome.reason).toMatchObject({
          code: "VG_DEVICE_FAILED",
          message: "the batch failed on the device (an illegal memory access was encountered)",
        });
        failed += 1;
        continue;
      }
      const { relativeL2 } = compareWithReference(outcome.value.data, (samples[at] as Sample).expected);
      expect(relativeL2).toBeLessThanOrEqual(TOLERANCE);
    }
    return failed;
  };
  expect(await check()).toBe(0);
  broken = true;
  const failed = await check();
  expect(failed).toBeGreaterThan(0);
  expect(failed).toBeLessThan(samples.length);
  expect(await check()).toBe(0);
  await back;
  expect(made).toBe(2);
  expect(await check()).toBe(0);
  expect(engine.stats().devices.map(({ state }) => state)).toEqual(["up", "up"]);
});

test("engines come and go without leaving handles", async () => {
  for (let round = 0; round < 5; round++) {
    const devices = [createDevice({ backend: "cpu", threads: 1 })];
    const engine = await createEngine({ devices: [() => devices[0] as Device] });
    await engine.encode(samples.slice(0, 4).map(({ item }) => item));
    await engine.close();
    expect(devices[0]?.liveHandles()).toBe(0);
  }
});
