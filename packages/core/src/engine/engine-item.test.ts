import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DEFAULT_MAX_DECODE_BYTES, DEFAULT_MAX_PIXELS, type Raster } from "../images/index.js";
import { zeroPng } from "../testing/crafted-images.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { type EngineItem, headerWork, openItem } from "./engine-item.js";

let miniature: MiniatureModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
});
afterAll(() => miniature[Symbol.asyncDispose]());

const png = (side: number) =>
  new Uint8Array(zeroPng({ width: side, height: side, bitDepth: 8, colourType: 2, interlaced: false }));
const raster = (side: number): Raster => ({
  height: side,
  width: side,
  rgb: new Uint8Array(3 * side * side),
});

/** A progressive JPEG whose 10 scans are each repeated `repeats` times. */
async function jpegOfScans(side: number, repeats: number): Promise<Uint8Array> {
  const jpeg = await sharp({ create: { width: side, height: side, channels: 3, background: "red" } })
    .jpeg({ progressive: true })
    .toBuffer();
  const first = jpeg.indexOf(Uint8Array.of(0xff, 0xda));
  const end = jpeg.length - 2;
  const scans = Array<Uint8Array>(repeats).fill(jpeg.subarray(first, end));
  return new Uint8Array(Buffer.concat([jpeg.subarray(0, first), ...scans, jpeg.subarray(end)]));
}

test.each<[string, () => EngineItem | Promise<EngineItem>, boolean]>([
  ["an image of a megapixel", () => ({ image: png(1024) }), true],
  ["a larger one", () => ({ image: png(1025) }), false],
  ["a progressive JPEG", async () => ({ image: await jpegOfScans(512, 1) }), true],
  ["a JPEG of many scans", async () => ({ image: await jpegOfScans(512, 20) }), false],
  ["a Blob, whose reading may take any time", () => ({ image: new Blob([png(8)]) }), false],
  ["decoded pixels", () => ({ raster: raster(1024) }), true],
  ["more decoded pixels", () => ({ raster: raster(1025) }), false],
  ["a video", () => ({ frames: [raster(8), raster(8)] }), false],
])("whether %s is a small job", async (_, item, isSmall) => {
  const limits = { maxPixels: DEFAULT_MAX_PIXELS, maxDecodeBytes: DEFAULT_MAX_DECODE_BYTES };
  expect((await openItem(await item(), miniature.model, limits)).isSmall).toBe(isSmall);
});

test("reading the header of an image in memory is a small job up to a file size", () => {
  expect(headerWork({ image: new Uint8Array(3 << 20) })).toEqual({ bytes: 3 << 20, isSmall: true });
  expect(headerWork({ image: new ArrayBuffer((3 << 20) + 1) })).toMatchObject({ isSmall: false });
  expect(headerWork({ image: new Blob([new Uint8Array(9)]) })).toEqual({ bytes: 9, isSmall: false });
  expect(headerWork({ video: new Uint8Array(9) })).toEqual({ bytes: 9, isSmall: false });
});

test("an image that is one pixel high is charged for the weights of its resize", async () => {
  const limits = { maxPixels: DEFAULT_MAX_PIXELS, maxDecodeBytes: DEFAULT_MAX_DECODE_BYTES };
  const strip = { width: 2 ** 20, height: 1, bitDepth: 8, colourType: 2, interlaced: false } as const;
  const { model } = miniature;
  const { patchSize, mergeSize } = model.processor;
  const side = patchSize * mergeSize;
  const anyRatio = { ...model, processor: { ...model.processor, fixedSize: { height: side, width: side } } };
  const { bytes } = await openItem({ image: new Uint8Array(zeroPng(strip)) }, anyRatio, limits);
  expect(bytes).toBeGreaterThan(60 * 2 ** 20);
});
