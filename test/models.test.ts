/**
 * Every family against transformers 5.17 (float32, eager attention), on tiny random checkpoints with the hub's tensor names:
 * patches → embeddings, and image files → embeddings. The reference of families that transformers does not have, or has
 * wrong, is `fixtures/make_remote_code_models.py`. Qwen3-VL itself has more in `qwen3-vl.test.ts` and `embeddings.test.ts`.
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  compareWithReference,
  createDevice,
  createVisionModel,
  type Device,
  type Embedding,
  EncoderEngine,
  type EncoderItem,
  type LoadedModel,
  loadModel,
  partsOf,
  patchCount,
  processImage,
  SafetensorsFile,
  VisionEncoder,
  writeSafetensors,
} from "@vitgraph/core";
import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import { VirtualClock } from "@vitgraph/scheduler/testing";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import {
  fixture,
  gridsOf,
  joinEmbeddings,
  levelsApart,
  type ReferenceCase,
  readCase,
  readFloats,
  readGrids,
  readImageSizes,
} from "./fixtures.js";

const FAMILIES = [
  ...["qwen2-vl", "qwen2-5-vl", "qwen2-5-omni", "qwen3-5", "qwen3-omni", "gemma3"],
  "exaone4-5",
  ...["paddleocr-vl", "glm4v", "kimi-k25", "mistral3", "internvl", "internvl-chat", "qianfan-ocr"],
  ...["glm-ocr", "glm5-next", "hunyuan-vl", "gemma4", "gemma4-standardize", "gemma4-unified"],
  ...["idefics3", "smolvlm", "llava", "llava-onevision", "lfm2-vl", "llama4", "minicpmv4-6", "pixtral"],
  ...["dots-ocr", "kimi-vl", "llava-onevision1-5", "ernie4-5-vl", "lighton-ocr", "llava-next"],
  ...["granite-vision", "llava-next-video", "minimax-m3", "step3p7", "step3-vl"],
  ...["cohere2-vision", "aya-vision", "paligemma", "t5gemma2", "muse-glimmer"],
];

/** The fixtures keep pixel values as float16. */
const HALF_PRECISION_LEVELS = 0.1;

describe.each(FAMILIES)("%s", (family) => {
  const path = (file: string) => fixture(`models/${family}-tiny/${file}`);

  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])("has the reference's embeddings: compile %s, graphs %s", async (compile, cudagraph) => {
    await using model = await loadModel(path(""));
    using device = createDevice({ backend: "cpu" });
    const config = { compile_mm_encoder: compile, cudagraph_mm_encoder: cudagraph };
    using encoder = await encoderOf(model, device, config);
    for (const { items, expected } of await readCases(family, model)) {
      await encoder.poison();
      const values = joinEmbeddings(await encoder.encode(items));
      expect(values).toHaveLength(expected.length);
      expect(compareWithReference(values, expected).relativeL2).toBeLessThanOrEqual(1e-5);
    }
    expect(model.notes).toEqual([]);
  });

  test("packed with others, in any order, an item has the same embedding", async () => {
    await using model = await loadModel(path(""));
    using device = createDevice({ backend: "cpu" });
    using encoder = await encoderOf(model, device, { compile_mm_encoder: true, cudagraph_mm_encoder: true });
    const images = await Promise.all(
      (await readReferences(family)).map(({ image }) => readFile(fixture(`models/images/${image}`))),
    );
    const items = [
      ...(await readCases(family, model)).flatMap((each) => each.items),
      ...(await Promise.all(images.map((bytes) => processImage(bytes, model.processor)))),
    ];
    const alone: PromiseSettledResult<Embedding>[] = [];
    for (const item of items) alone.push(...(await encoder.encode([item])));
    for (const order of ordersOf(items.length)) {
      await encoder.poison();
      const together = await encoder.encode(order.map((index) => items[index] as EncoderItem));
      const expected = order.map((index) => alone[index] as PromiseSettledResult<Embedding>);
      const { relativeL2 } = compareWithReference(joinEmbeddings(together), joinEmbeddings(expected));
      expect(relativeL2).toBeLessThanOrEqual(1e-6);
    }
  });

  test("an image file has the reference's grid, pixels and embedding", async () => {
    await using model = await loadModel(path(""));
    using device = createDevice({ backend: "cpu" });
    using encoder = await encoderOf(model, device, { compile_mm_encoder: true });
    await using file = await SafetensorsFile.open(path("e2e.safetensors"));
    for (const [index, { image, row_stride }] of (await readReferences(family)).entries()) {
      const bytes = await readFile(fixture(`models/images/${image}`));
      const item = await processImage(bytes, model.processor);
      const grids = await readGrids(file, `${index}.grid_thw`);
      const sizes = await readImageSizes(file, `${index}.image_sizes`);
      expect(gridsOf(item.grid, model.vision)).toEqual(grids);
      expect(item.grid.imageSize).toEqual(sizes[0]);
      const pixels = await readFloats(file, `${index}.pixel_values`);
      expect(levelsApart(item, pixels, model)).toBeLessThanOrEqual(HALF_PRECISION_LEVELS);
      const expected = await readFloats(file, `${index}.output`);
      const normalized = { format: "normalized", grid: item.grid, pixelValues: pixels } as const;
      for (const [given, tolerance] of [
        [item, 2e-3], // the reference's pixel values are rounded to float16
        [normalized, 1e-5],
      ] as const) {
        const [outcome] = await encoder.encode([given]);
        if (outcome?.status !== "fulfilled") throw outcome?.reason;
        const values = everyRow(outcome.value.data, row_stride, outcome.value.columns);
        expect(values).toHaveLength(expected.length);
        expect(compareWithReference(values, expected).relativeL2).toBeLessThanOrEqual(tolerance);
      }
    }
  });
});

test.each([
  ["internvl", { t: 4, h: 4, w: 4 }, 16, "tiles of an image are one frame of a batch"],
  ["hunyuan-vl", { t: 1, h: 2, w: 8 }, 7, "budgets count the rows of an answer"],
  ["lfm2-vl", { t: 3, h: 4, w: 4, next: { t: 1, h: 2, w: 8 } }, 16, "tiles and a thumbnail of another size"],
  ["step3-vl", { t: 4, h: 4, w: 4, next: { t: 1, h: 8, w: 8 } }, 8, "convolutions over both grids"],
  [
    "llava-onevision",
    { t: 4, h: 4, w: 4, imageSize: { height: 100, width: 330 } },
    68,
    "the size of an image says which rows are its own",
  ],
] as const)(
  "an engine answers an image of %s: grid %o, %i tokens (%s)",
  async (family, grid, tokens, _why) => {
    await using engine = await EncoderEngine.create({
      model: fixture(`models/${family}-tiny`),
      devices: [{ backend: "cpu" }],
      maxBatchTokens: 128,
      compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_max_frames_per_batch: 0 },
    });
    const image = await readFile(fixture("models/images/image2_330x100_RGB.png"));
    const [outcome] = await engine.encode([{ image }]);
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    expect(outcome.value).toMatchObject({ grid, tokens });
    // No clip, which would run eagerly.
    expect(outcome.value.batch?.budget).toBeGreaterThanOrEqual(tokens);
  },
);

test("an image beyond a model's table of positions is refused before it is decoded, also by getItemSpecs", async () => {
  await using engine = await EncoderEngine.create({
    model: fixture("models/gemma4-tiny"),
    devices: [{ backend: "cpu" }],
    maxBatchTokens: 128,
  });
  const strip = await sharp({
    create: { width: 590, height: 3, channels: 3, background: { r: 9, g: 9, b: 9 } },
  })
    .png()
    .toBuffer();
  const refused = {
    status: "rejected",
    reason: { message: "a grid side has 210 patches, above the limit of 64: cut the image into several" },
  };
  expect(await engine.getItemSpecs([{ image: strip }])).toMatchObject([refused]);
  expect(await engine.encode([{ image: strip }])).toMatchObject([refused]);
});

test("a clip is refused where a model takes stills alone", async () => {
  await using model = await loadModel(fixture("models/kimi-vl-tiny"));
  using device = createDevice({ backend: "cpu" });
  using encoder = await encoderOf(model, device, {});
  const item = {
    format: "normalized",
    grid: { t: 2, h: 2, w: 2 },
    pixelValues: new Float32Array(8 * 588),
  } as const;
  const [outcome] = await encoder.encode([item]);
  expect(outcome).toMatchObject({
    status: "rejected",
    reason: { message: "a grid has 2 frames, above the limit of 1: pass frames as items of their own" },
  });
});

test.each([
  [
    "qwen2-vl",
    { t: 1, h: 2, w: 2, next: { t: 1, h: 2, w: 2 } },
    "the model takes items of one grid, and this one has two",
  ],
  ["lfm2-vl", { t: 1, h: 2, w: 2, next: { t: 1, h: 3, w: 2 } }, "and 1 × 3 × 2 cannot be merged 2 × 2"],
  ["lfm2-vl", { t: 1, h: 2, w: 2, next: { t: 0, h: 2, w: 2 } }, "and 0 × 2 × 2 is not made of positive"],
  ["llava-onevision", { t: 3, h: 4, w: 4 }, "an item of 3 tiles has no grid.imageSize"],
  [
    "llava-onevision",
    { t: 3, h: 4, w: 4, imageSize: { height: 100, width: 330 } },
    "an image of 330 × 100 pixels has 4 tiles, and the item has 3",
  ],
  [
    "llava-onevision",
    { t: 2, h: 4, w: 4, imageSize: { height: 1, width: 1e12 } },
    "an aspect ratio of 1000000000000",
  ],
  ["llava-onevision", { t: 2, h: 4, w: 4, imageSize: { height: 0, width: 1 } }, "grid.imageSize is 1 × 0"],
  ["llava-next", { t: 2, h: 4, w: 4, isClip: true }, "the model takes images, and the item is a clip"],
] as const)("an item of %s with grid %j is refused", async (family, grid, text) => {
  await using model = await loadModel(fixture(`models/${family}-tiny`));
  using device = createDevice({ backend: "cpu" });
  using encoder = await encoderOf(model, device, {});
  const { channels, temporalPatchSize, patchSize } = model.vision;
  const rows = partsOf(grid).reduce((sum, { t, h, w }) => sum + t * h * w, 0);
  const pixelValues = new Float32Array(rows * channels * temporalPatchSize * patchSize ** 2);
  const [outcome] = await encoder.encode([{ format: "normalized", grid, pixelValues }]);
  expect(outcome).toMatchObject({
    status: "rejected",
    reason: { message: expect.stringContaining(text) },
  });
});

test.each([
  ["with the grid cache", undefined],
  ["without", 0],
] as const)(
  "a clip of Kimi-K2.5 has the rows of its chunks, one after the other: %s",
  async (_, gridCacheBytes) => {
    await using model = await loadModel(fixture("models/kimi-k25-tiny"));
    using device = createDevice({ backend: "cpu" });
    const compilationConfig = {
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: [8, 64],
      encoder_cudagraph_max_vision_items_per_batch: 8,
    };
    using encoder = await VisionEncoder.create({
      model,
      device,
      compilationConfig,
      maxBatchTokens: 64,
      ...(gridCacheBytes !== undefined && { gridCacheBytes }),
    });
    const clip = (t: number, first = 0): EncoderItem => {
      const grid = { t, h: 4, w: 2 };
      const pixelValues = Float32Array.from({ length: patchCount(grid) * 588 }, (_value, at) => {
        const place = at + first * 8 * 588;
        return ((place * place) % 251) / 125 - 1;
      });
      return { format: "normalized", grid, pixelValues };
    };
    const chunks = [clip(4), clip(4, 4), clip(1, 8)];
    const [ofChunks, whole] = [await encoder.encode(chunks), await encoder.encode([clip(9)])];
    const { relativeL2 } = compareWithReference(joinEmbeddings(whole), joinEmbeddings(ofChunks));
    expect(relativeL2).toBeLessThanOrEqual(1e-6);
    expect(encoder.specOf(clip(9))).toEqual({ inputSize: 72, outputTokens: 6, frames: 9, budgetTokens: 18 });
    // By their rows all of them would be in the smaller budget, which has room for 32 patches.
    const budgets = (outcomes: readonly PromiseSettledResult<Embedding>[]) =>
      outcomes.map((outcome) => outcome.status === "fulfilled" && outcome.value.batch?.budget);
    expect(budgets(whole)).toEqual([64]);
    expect(budgets(await encoder.encode([clip(4), clip(3)]))).toEqual([64, 64]);
    expect(budgets(await encoder.encode([clip(4)]))).toEqual([8]);
    // Above the largest budget it runs alone, in parts of 32, 32 and 5 frames.
    await encoder.poison();
    const [above] = await encoder.encode([clip(69)]);
    const report = { budget: null, tokens: 138 };
    expect(above).toMatchObject({ status: "fulfilled", value: { tokens: 36, batch: report } });
    const alone: PromiseSettledResult<Embedding>[] = [];
    for (let first = 0; first < 69; first += 4)
      alone.push(...(await encoder.encode([clip(Math.min(4, 69 - first), first)])));
    const inParts = compareWithReference(joinEmbeddings([above!]), joinEmbeddings(alone));
    expect(inParts.relativeL2).toBeLessThanOrEqual(1e-6);
  },
);

test("a clip of MiniMax-M3 has the rows of its segments, one after the other, also above the largest budget", async () => {
  await using model = await loadModel(fixture("models/minimax-m3-tiny"));
  using device = createDevice({ backend: "cpu" });
  const compilationConfig = {
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: [8, 16],
    encoder_cudagraph_max_vision_items_per_batch: 8,
  };
  using encoder = await VisionEncoder.create({ model, device, compilationConfig, maxBatchTokens: 16 });
  const clip = (t: number, first = 0): EncoderItem => {
    const grid = { t, h: 4, w: 2 };
    const pixelValues = Float32Array.from({ length: patchCount(grid) * 1176 }, (_value, at) => {
      const place = at + first * 8 * 1176;
      return ((place * place) % 251) / 125 - 1;
    });
    return { format: "normalized", grid, pixelValues };
  };
  for (const [frames, batch] of [
    [7, { budget: 16, tokens: 14 }],
    [19, { budget: null, tokens: 38 }],
  ] as const) {
    const alone: PromiseSettledResult<Embedding>[] = [];
    for (let first = 0; first < frames; first += 2)
      alone.push(...(await encoder.encode([clip(Math.min(2, frames - first), first)])));
    await encoder.poison();
    const [whole] = await encoder.encode([clip(frames)]);
    expect(whole).toMatchObject({ status: "fulfilled", value: { tokens: 2 * frames, batch } });
    const { relativeL2 } = compareWithReference(joinEmbeddings([whole!]), joinEmbeddings(alone));
    expect(relativeL2).toBeLessThanOrEqual(1e-6);
  }
  // Parts of 8, 8 and 3 frames.
  using counting = createNullDevice();
  using other = await VisionEncoder.create({
    model,
    device: counting,
    compilationConfig,
    maxBatchTokens: 16,
  });
  const before = counting.submissions.length;
  await other.encode([clip(19)]);
  expect(counting.submissions).toHaveLength(before + 3);
});

test("MiniMax-M3 has the same embeddings under the names and keys that transformers saves", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-models-"));
  try {
    const path = fixture("models/minimax-m3-tiny");
    await using file = await SafetensorsFile.open(join(path, "model.safetensors"));
    const tensors = await Promise.all([...file.tensors.keys()].map((name) => file.read(name)));
    await writeSafetensors(
      join(directory, "model.safetensors"),
      tensors.map(({ info: { name, shape }, bytes }) => {
        return { name: name.replace(".mlp.", ".block_sparse_moe."), dtype: "BF16", shape, bytes };
      }),
    );
    const { vision_config, ...config } = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    const { img_token_compression_config, rope_theta, ...vision } = vision_config;
    const saved = {
      ...config,
      vision_config: {
        ...vision,
        model_type: "minimax_m3_vl_vision",
        rope_parameters: { rope_theta, rope_type: "axial" },
        spatial_merge_size: 2,
        temporal_patch_size: 2,
      },
    };
    await writeFile(join(directory, "config.json"), JSON.stringify(saved));
    await copyFile(join(path, "preprocessor_config.json"), join(directory, "preprocessor_config.json"));
    await using model = await loadModel(directory);
    using device = createDevice({ backend: "cpu" });
    using encoder = await encoderOf(model, device, {});
    for (const { items, expected } of await readCases("minimax-m3", model)) {
      const values = joinEmbeddings(await encoder.encode(items));
      expect(compareWithReference(values, expected).relativeL2).toBeLessThanOrEqual(1e-5);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a clip in parts ends with its encoder, and nothing is loaded for the other parts", async () => {
  await using model = await loadModel(fixture("models/kimi-k25-tiny"));
  using device = createNullDevice({ respond: () => encoder[Symbol.dispose]() });
  const encoder = await VisionEncoder.create({ model, device, maxBatchTokens: 64, gridCacheBytes: 0 });
  const grid = { t: 69, h: 4, w: 2 };
  const pixelValues = new Float32Array(patchCount(grid) * 588);
  const [outcome] = await encoder.encode([{ format: "normalized", grid, pixelValues }]);
  expect(outcome).toMatchObject({ status: "rejected", reason: { code: "VG_DISPOSED" } });
  expect(device.submissions).toHaveLength(1);
  expect(device.liveHandles()).toBe(0);
});

test.each([
  ["a signal", "VG_ABORTED", 0],
  ["a signal, with an output cache", "VG_ABORTED", 2 ** 20],
  ["a deadline", "VG_DEADLINE_EXCEEDED", 0],
  ["closing the engine", "VG_CLOSED", 0],
] as const)(
  "a clip in parts that is cancelled runs no other part: by %s",
  async (way, code, outputCacheBytes) => {
    const controller = new AbortController();
    const clock = new VirtualClock();
    const outcomes: string[] = [];
    let ready = false;
    let closed: Promise<void> | undefined;
    const device = createNullDevice({
      respond: async () => {
        if (!ready) return;
        if (way === "a deadline") await clock.advance(50);
        else if (code === "VG_CLOSED") closed = engine.close({ abort: true });
        else controller.abort(new Error("the connection has closed"));
      },
    });
    const engine = await EncoderEngine.create({
      model: fixture("models/kimi-k25-tiny"),
      devices: [() => device],
      clock,
      maxBatchTokens: 64,
      gridCacheBytes: 0,
      outputCacheBytes,
      observers: [{ batchEnded: ({ outcome }) => outcomes.push(outcome) }],
    });
    const before = device.submissions.length;
    ready = true;
    const grid = { t: 69, h: 4, w: 2 };
    const pixelValues = new Float32Array(patchCount(grid) * 588);
    const options = way === "a deadline" ? { timeoutMs: 50 } : { signal: controller.signal };
    const [outcome] = await engine.encode([{ format: "normalized", grid, pixelValues }], options);
    expect(outcome).toMatchObject({ status: "rejected", reason: { code } });
    await (closed ?? engine.drain());
    expect(device.submissions.length - before).toBe(1);
    expect(outcomes).toEqual(["cancelled"]);
    if (closed === undefined) {
      const { devices, queue } = engine.stats();
      expect(devices).toMatchObject([{ state: "up" }]);
      expect(queue).toMatchObject({ items: 0, tokens: 0 });
      await engine.close();
    }
    expect(device.liveHandles()).toBe(0);
  },
);

test("a config under the hub's names of Kimi-K2.5 is the same model", async () => {
  const read = async (file: string) =>
    JSON.parse(await readFile(fixture(`models/kimi-k25-tiny/${file}`), "utf8")) as Record<string, unknown>;
  const [ours, hub] = [await read("config.json"), await read("config.hub.json")].map(createVisionModel);
  expect(hub?.config).toEqual(ours?.config);
});

interface Reference {
  readonly image: string;
  readonly row_stride: number;
}

async function readReferences(family: string): Promise<readonly Reference[]> {
  return JSON.parse(await readFile(fixture(`models/${family}-tiny/e2e.json`), "utf8")) as Reference[];
}

const encoderOf = (model: LoadedModel, device: Device, compilationConfig: Record<string, unknown>) =>
  VisionEncoder.create({ model, device, compilationConfig, maxBatchTokens: 256 });

/** The cases of a family, without clips where its model takes none. */
async function readCases(family: string, { vision }: LoadedModel): Promise<readonly ReferenceCase[]> {
  const path = fixture(`models/${family}-tiny/cases.safetensors`);
  await using file = await SafetensorsFile.open(path);
  const count = [...file.tensors.keys()].filter((name) => name.endsWith(".output")).length;
  const cases = await Promise.all(Array.from({ length: count }, (_, index) => readCase(index, path, vision)));
  const { maxFrames = Number.POSITIVE_INFINITY } = vision;
  return cases.filter(({ items }) => items.every(({ grid }) => grid.t <= maxFrames));
}

/** Backwards, and every third first. */
function ordersOf(count: number): readonly (readonly number[])[] {
  const indices = Array.from({ length: count }, (_, index) => index);
  return [indices.toReversed(), [...indices].sort((a, b) => (a % 3) - (b % 3))];
}

/** Every `stride`-th row. */
function everyRow(values: Float32Array, stride: number, columns: number): Float32Array {
  const rows = values.length / columns;
  const kept = Array.from({ length: Math.ceil(rows / stride) }, (_, row) => row * stride);
  return Float32Array.from(kept.flatMap((row) => [...values.subarray(row * columns, (row + 1) * columns)]));
}
