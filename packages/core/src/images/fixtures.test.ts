/** Pixels of image files, compared with the results of transformers' processors for the same files. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PixelItem } from "../item.js";
import { QWEN2_VL_IMAGES } from "../models/qwen2-vl/preprocess.js";
import { QWEN3_VL_IMAGES } from "../models/qwen3-vl/preprocess.js";
import { f16ToF32 } from "../numerics.js";
import { SafetensorsFile } from "../weights/safetensors.js";
import { openImage } from "./decode.js";
import { channelScale, type ImageProcessor } from "./image-processor.js";
import { imageGrid, processImage } from "./process.js";

interface Case {
  readonly processor: "qwen2vl-p14" | "qwen3vl-p16";
  readonly image: string;
  readonly grid_thw: readonly [readonly [number, number, number]];
  readonly patches: number;
  /** Row r of the stored tensor is row r · row_stride of the processor's result. */
  readonly row_stride: number;
}

const folder = fileURLToPath(new URL("../../../../test/fixtures/images/", import.meta.url));
const cases = JSON.parse(readFileSync(`${folder}processed.json`, "utf8")) as readonly Case[];
const processors = {
  "qwen2vl-p14": QWEN2_VL_IMAGES.withoutFile,
  "qwen3vl-p16": QWEN3_VL_IMAGES.withoutFile,
} satisfies Record<Case["processor"], ImageProcessor>;

let stored: SafetensorsFile;
beforeAll(async () => {
  stored = await SafetensorsFile.open(`${folder}processed.safetensors`);
});
afterAll(() => stored[Symbol.asyncDispose]());

async function storedPixelValues({ processor, image }: Case): Promise<Float32Array> {
  const { bytes } = await stored.read(`${processor}.${image[5]}.pixel_values`);
  return f16ToF32(new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2));
}

describe.each(cases)("$processor of $image", (row) => {
  const processor = processors[row.processor];
  const plane = processor.patchSize ** 2;
  const path = folder + row.image;

  test("the grid equals transformers', with and without decoding", async () => {
    const [[t, h, w]] = row.grid_thw;
    const bytes = await readFile(path);
    expect(imageGrid(await openImage(bytes), processor)).toEqual({ t, h, w });
    const item = (await processImage(bytes, processor)) as PixelItem;
    expect(item.grid).toEqual({ t, h, w });
    expect(item.pixels).toHaveLength(row.patches * 3 * plane);
  });

  /** Calls `visit` with each byte of the item and the corresponding value of transformers. */
  async function comparePixels(
    visit: (level: number, expected: number, channel: number) => void,
  ): Promise<void> {
    const { pixels } = (await processImage(await readFile(path), processor)) as PixelItem;
    const expected = await storedPixelValues(row);
    const slices = processor.temporalPatchSize;
    const rows = expected.length / (3 * slices * plane);
    expect(rows).toBe(Math.ceil(row.patches / row.row_stride));
    for (let r = 0; r < rows; r++) {
      for (let channel = 0; channel < 3; channel++) {
        for (let i = 0; i < slices * plane; i++) {
          const level = pixels[(r * row.row_stride * 3 + channel) * plane + (i % plane)] as number;
          visit(level, expected[(r * 3 + channel) * slices * plane + i] as number, channel);
        }
      }
    }
  }

  // JPEG decoders may differ in their rounding. sharp's is of the same kind as Pillow's, so JPEG levels are equal too
  // on most platforms, but the test requires it only of PNG.
  test("every uint8 level equals transformers'", async () => {
    const mean = processor.imageMean;
    const std = processor.imageStd;
    let places = 0;
    let different = 0;
    let difference = 0;
    await comparePixels((level, expected, channel) => {
      const expectedLevel = Math.round(
        (expected * (std[channel] as number) + (mean[channel] as number)) * 255,
      );
      places++;
      difference += Math.abs(level - expectedLevel);
      if (level !== expectedLevel) different++;
    });
    if (row.image.endsWith(".png")) expect(different).toBe(0);
    expect(difference / places).toBeLessThan(2);
  });

  test("the levels, scaled and shifted, equal transformers' pixel values", async () => {
    const scale = channelScale(processor);
    let largest = 0;
    await comparePixels((level, expected, channel) => {
      const value = Math.fround(level * (scale[channel * 2] as number) + (scale[channel * 2 + 1] as number));
      largest = Math.max(largest, Math.abs(value - expected));
    });
    // The fixture is float16: half a unit in the last place is 2^-11 · 2 at the largest magnitude, 2.
    if (row.image.endsWith(".png")) expect(largest).toBeLessThanOrEqual(2 ** -10);
  });
});
