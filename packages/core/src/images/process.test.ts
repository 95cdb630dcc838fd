import { VitgraphError } from "@vitgraph/errors";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { checkItem, type PixelItem } from "../item.js";
import { MODEL_TYPES, readImageProcessor, VIDEO_PROCESSOR_DEFAULTS } from "../models/index.js";
import { QWEN2_VL_VIDEOS } from "../models/qwen2-vl/preprocess.js";
import { QWEN3_VL_IMAGES, QWEN3_VL_VIDEOS } from "../models/qwen3-vl/preprocess.js";
import type { Raster } from "./decode.js";
import { imageGrid, processImage, processRaster, processVideo, videoGrid } from "./process.js";

const IMAGE = QWEN3_VL_IMAGES.withoutFile;
const VIDEO = QWEN3_VL_VIDEOS;
const SHAPE = { mergeSize: 2, channels: 3, temporal: 2, patch: 16 };

/** A frame of one colour. */
function frame(level: number, height = 64, width = 96): Raster {
  return { height, width, rgb: new Uint8Array(height * width * 3).fill(level) };
}

function png(
  { width, height }: { width: number; height: number },
  background = "#336699",
): Promise<Uint8Array> {
  return sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer();
}

async function failure(work: Promise<unknown>): Promise<VitgraphError> {
  const error = await work.then(
    () => expect.unreachable("it succeeded"),
    (reason: unknown) => reason,
  );
  if (!VitgraphError.is(error)) throw error;
  return error;
}

test("a 1 × 1 image grows to the smallest area and keeps its colour", async () => {
  const item = (await processImage(await png({ width: 1, height: 1 }), IMAGE)) as PixelItem;
  expect(item.grid).toEqual({ t: 1, h: 16, w: 16 });
  checkItem(item, SHAPE);
  for (let i = 0; i < item.pixels.length; i += 256) {
    expect(item.pixels[i]).toBe([0x33, 0x66, 0x99][(i / 256) % 3]);
  }
});

test("a 30000 × 20 image is refused for its aspect ratio, from the header", async () => {
  const wide = await png({ width: 30_000, height: 20 });
  const error = await failure(processImage(wide.subarray(0, 200), IMAGE));
  expect(error.code).toBe("VG_IMAGE_ASPECT_RATIO");
  expect(error.details).toEqual({ width: 30_000, height: 20, ratio: 1500, limit: 200 });
});

test("a bad image fails alone: others in the same call succeed", async () => {
  const good = await png({ width: 64, height: 64 });
  const results = await Promise.allSettled(
    [good, good.subarray(0, 60), new Uint8Array(), good].map((bytes) => processImage(bytes, IMAGE)),
  );
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled"]);
});

test("a file and its decoded pixels become the same item", async () => {
  const bytes = await png({ width: 300, height: 200 });
  const rgb = new Uint8Array(await sharp(bytes).raw().toBuffer());
  expect(await processRaster({ width: 300, height: 200, rgb }, IMAGE)).toEqual(
    await processImage(bytes, IMAGE),
  );
});

test("without do_resize an image keeps its size, or is refused", async () => {
  const processor = { ...IMAGE, doResize: false };
  expect((await processRaster(frame(7), processor)).grid).toEqual({ t: 1, h: 4, w: 6 });
  const error = await failure(processRaster(frame(7, 64, 97), processor));
  expect(error.message).toBe(
    "image of 97 × 64 pixels cannot be cut into blocks of 32 × 32, and do_resize is false: " +
      "resize it to multiples of 32, or set do_resize",
  );
});

test("two frames share a patch; an odd last frame is repeated", async () => {
  const item = await processVideo(
    [10, 20, 30].map((level) => frame(level)),
    { ...VIDEO, doResize: false },
  );
  expect(item.grid).toEqual({ t: 2, h: 4, w: 6, isClip: true });
  checkItem(item, SHAPE);
  const plane = 16 * 16;
  const slices = Array.from({ length: item.pixels.length / plane }, (_, slice) => item.pixels[slice * plane]);
  const first = slices.slice(0, slices.length / 2);
  const second = slices.slice(slices.length / 2);
  expect(new Set(first.map((level, slice) => `${slice % 2}:${level}`))).toEqual(new Set(["0:10", "1:20"]));
  expect(new Set(second)).toEqual(new Set([30]));
});

test("bounds cover the clip for Qwen3-VL and each frame for Qwen2-VL", async () => {
  const size = { height: 720, width: 1280 };
  expect(videoGrid(7, size, VIDEO)).toEqual({ t: 4, h: 14, w: 26, isClip: true });
  expect(videoGrid(7, size, QWEN2_VL_VIDEOS)).toEqual({ t: 4, h: 40, w: 72, isClip: true });
  const item = await processVideo([frame(1, 90, 160), frame(2, 90, 160)], VIDEO);
  expect(item.grid).toEqual(videoGrid(2, { height: 90, width: 160 }, VIDEO));
  checkItem(item, SHAPE);
});

test("the grid of an image is computed from its size", () => {
  expect(imageGrid({ height: 1080, width: 1920 }, IMAGE)).toEqual({ t: 1, h: 68, w: 120 });
});

test.each(MODEL_TYPES)("%s refuses sizes that are not positive whole numbers", (modelType) => {
  const image = readImageProcessor(undefined, modelType);
  const video = VIDEO_PROCESSOR_DEFAULTS[modelType];
  for (const side of [0, -3, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    const text = `height is ${side}: give a positive whole number`;
    expect(() => imageGrid({ height: side, width: side }, image)).toThrow(text);
    if (video === undefined) continue;
    expect(() => videoGrid(4, { height: side, width: side }, video)).toThrow(text);
    expect(() => videoGrid(side, { height: 64, width: 64 }, video)).toThrow(`frames is ${side}: give`);
  }
});

/** The uint8 level at a place of a grid that starts at a row of the item: patches of 14 × 14 pixels, row by row. */
function levelAt({ pixels }: PixelItem, from: number, columns: number, y: number, x: number): number {
  const patch = from + Math.floor(y / 14) * columns + Math.floor(x / 14);
  return pixels[(patch * 3 * 14 + (y % 14)) * 14 + (x % 14)] as number;
}

test("a window that reaches beyond the image is black there, and the whole image comes last", async () => {
  // Windows of 504 pixels: two across, and the image is 300 pixels high.
  const item = (await processRaster(
    frame(200, 300, 1008),
    readImageProcessor(undefined, "step3p7"),
  )) as PixelItem;
  expect(item.grid).toEqual({ t: 2, h: 36, w: 36, next: { t: 1, h: 52, w: 52 } });
  const window = 36 * 36;
  const levels = [0, window].flatMap((from) => [
    ...[299, 300, 503].map((y) => levelAt(item, from, 36, y, 9)),
  ]);
  expect(levels).toEqual([200, 0, 0, 200, 0, 0]);
  expect(levelAt(item, 2 * window, 52, 727, 727)).toBe(200);
});

test("windows of an elongated small image grow to the size of a tile", async () => {
  const [left, right] = [frame(50, 100, 100), frame(150, 100, 100)];
  const rgb = new Uint8Array(2 * left.rgb.length);
  for (let row = 0; row < 100; row++) {
    rgb.set(left.rgb.subarray(0, 300), row * 600);
    rgb.set(right.rgb.subarray(0, 300), row * 600 + 300);
  }
  const image = { height: 100, width: 200, rgb };
  const item = (await processRaster(image, readImageProcessor(undefined, "step3p7"))) as PixelItem;
  expect(item.grid).toEqual({ t: 2, h: 36, w: 36, next: { t: 1, h: 52, w: 52 } });
  // Each window is resized alone: no pixel mixes both.
  const levels = [0, 1].map((tile) => levelAt(item, tile * 36 * 36, 36, 250, tile === 0 ? 503 : 0));
  expect(levels).toEqual([50, 150]);
});

test("a strip is padded to a square before it is resized", async () => {
  const item = (await processRaster(
    frame(200, 20, 364),
    readImageProcessor(undefined, "step3p7"),
  )) as PixelItem;
  expect(item.grid).toEqual({ t: 1, h: 52, w: 52 });
  // Twice as large: 40 rows show the image.
  expect([30, 50, 700].map((y) => levelAt(item, 0, 52, y, 400))).toEqual([200, 0, 0]);
});

test("an empty list of frames, and frames of different sizes, are refused", async () => {
  expect((await failure(processVideo([], VIDEO))).message).toBe("a video has no frames: pass at least one");
  expect((await failure(processVideo([frame(1), frame(1, 64, 64)], VIDEO))).message).toBe(
    "frame 1 has 64 × 64 pixels, and frame 0 has 96 × 64: bring all frames of a video to one size",
  );
});

test("a raster with a number of bytes other than its size is refused", async () => {
  const error = await failure(processRaster({ ...frame(1), height: 65 }, IMAGE));
  expect(error.code).toBe("VG_ITEM_INVALID");
  expect(error.fact).toBe("raster has 18432 bytes, but 96 × 65 pixels of RGB are 18720");
});

describe("pixels in shared or resizable memory are refused", () => {
  const sizeBytes = 64 * 96 * 3;
  const transferred = new Uint8Array(sizeBytes);
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] });
  const Resizable = ArrayBuffer as unknown as new (size: number, options: object) => ArrayBuffer;
  const rasters: readonly (readonly [string, unknown, string])[] = [
    ["shared", new Uint8Array(new SharedArrayBuffer(sizeBytes)), "has its pixels in shared memory"],
    [
      "resizable",
      new Uint8Array(new Resizable(sizeBytes, { maxByteLength: sizeBytes })),
      "has its pixels in a resizable buffer",
    ],
    ["transferred", transferred, "has no pixels"],
    ["no bytes at all", [1, 2, 3], "has no Uint8Array of pixels"],
  ];
  test.each(rasters)("%s", async (_, rgb, fact) => {
    const raster = { width: 96, height: 64, rgb: rgb as Uint8Array };
    const image = await failure(processRaster(raster, IMAGE));
    expect([image.code, image.fact]).toEqual(["VG_ITEM_INVALID", `raster ${fact}`]);
    const video = await failure(processVideo([frame(1), raster], VIDEO));
    expect([video.code, video.fact]).toEqual(["VG_ITEM_INVALID", `frame 1 ${fact}`]);
  });
});

test("an image with alpha is composited if a background is given", async () => {
  const half = await sharp({
    create: { width: 64, height: 64, channels: 4, background: { r: 200, g: 0, b: 0, alpha: 0.5 } },
  })
    .png()
    .toBuffer();
  const levels = async (options: object) => {
    const { pixels } = (await processImage(half, IMAGE, options)) as PixelItem;
    return [0, 256, 512].map((plane) => pixels[plane]);
  };
  expect(await levels({})).toEqual([200, 0, 0]);
  expect(await levels({ background: [255, 255, 255] })).toEqual([227, 127, 127]);
});
