/** One bad item in a batch fails alone, with what is wrong with it; the others are answered. */
import {
  compareWithReference,
  createDevice,
  type EncoderItem,
  loadModel,
  VisionEncoder,
} from "@vitgraph/core";
import { describe, expect, test } from "vitest";
import { joinEmbeddings, readCase, TINY } from "./fixtures.js";

const { items, expected } = await readCase(1);
const good = items[0] as Extract<EncoderItem, { format: "normalized" }>;
const rowElements = good.pixelValues.length / 16;

const BAD: Record<string, { item: EncoderItem; code: string; message: RegExp }> = {
  "a grid whose product differs from the rows": {
    item: { ...good, grid: { t: 1, h: 4, w: 6 } },
    code: "VG_ITEM_INVALID",
    message: /24 rows/,
  },
  "a grid that cannot be merged": {
    item: {
      format: "normalized",
      grid: { t: 1, h: 3, w: 2 },
      pixelValues: new Float32Array(6 * rowElements),
    },
    code: "VG_ITEM_INVALID",
    message: /cannot be merged/,
  },
  "a grid of nothing": {
    item: { format: "normalized", grid: { t: 0, h: 2, w: 2 }, pixelValues: new Float32Array(0) },
    code: "VG_ITEM_INVALID",
    message: /positive whole numbers/,
  },
  "a side beyond the rotary table": {
    item: { format: "u8_still", grid: { t: 1, h: 2, w: 8194 }, pixels: new Uint8Array(2 * 8194 * 768) },
    code: "VG_ITEM_INVALID",
    message: /a grid side has 8194 patches, above the limit of 8192: cut the image into several/,
  },
  "pixels that are NaN": {
    item: { ...good, pixelValues: new Float32Array(good.pixelValues.length).fill(Number.NaN) },
    code: "VG_OUTPUT_NOT_FINITE",
    message: /the embedding of a 1 × 4 × 4 item has NaN in row 0/,
  },
};

describe.each(Object.entries(BAD))("%s", (_, { item, code, message }) => {
  test("fails alone", async () => {
    await using model = await loadModel(TINY);
    using device = createDevice({ backend: "cpu" });
    using encoder = await VisionEncoder.create({
      model,
      device,
      compilationConfig: { compile_mm_encoder: true, cudagraph_mm_encoder: true },
      maxBatchTokens: 1024,
    });
    const outcomes = await encoder.encode([items[0]!, item, ...items.slice(1)]);
    const [bad] = outcomes.splice(1, 1);
    expect(bad).toMatchObject({
      status: "rejected",
      reason: { code, message: expect.stringMatching(message) },
    });
    expect(compareWithReference(joinEmbeddings(outcomes), expected).relativeL2).toBeLessThanOrEqual(1e-5);
    expect(encoder.stats()).toMatchObject({ failedItems: 1 });
  });
});

test("an encoder that was disposed refuses new work and says so", async () => {
  await using model = await loadModel(TINY);
  using device = createDevice({ backend: "cpu" });
  const encoder = await VisionEncoder.create({ model, device });
  encoder[Symbol.dispose]();
  await expect(encoder.encode(items)).rejects.toThrow("the encoder has been disposed: create a new one");
  expect(device.liveHandles()).toBe(0);
});
