/** Image files → embeddings, the whole way, against transformers' processor and tower. */
import { readFile } from "node:fs/promises";
import {
  compareWithReference,
  createDevice,
  loadModel,
  processImage,
  SafetensorsFile,
  VisionEncoder,
} from "@vitgraph/core";
import { describe, expect, test } from "vitest";
import { fixture, readFloats, TINY } from "./fixtures.js";

interface ReferenceEmbedding {
  readonly tensor: string;
  readonly model: string;
  readonly image: string;
  readonly grid_thw: readonly (readonly [number, number, number])[];
  readonly tokens: number;
  readonly columns: number;
  readonly row_stride: number;
}

const all = JSON.parse(await readFile(fixture("images/embeddings.json"), "utf8")) as ReferenceEmbedding[];
const references = all.filter(({ model }) => model === "qwen3-vl-tiny");

/** One uint8 level of difference in one place of ten thousand is what a PNG may show; a JPEG decoder differs more. */
const toleranceOf = (image: string) => (image.endsWith(".png") ? 2e-3 : 5e-2);

describe.each(references)("$image", ({ tensor, image, grid_thw, tokens, columns, row_stride }) => {
  test("has transformers' grid, token count and embedding", async () => {
    await using model = await loadModel(TINY);
    using device = createDevice({ backend: "cpu" });
    using encoder = await VisionEncoder.create({
      model,
      device,
      compilationConfig: { compile_mm_encoder: true },
    });
    const item = await processImage(await readFile(fixture(`images/${image}`)), model.processor);
    expect([[item.grid.t, item.grid.h, item.grid.w]]).toEqual(grid_thw);
    const [outcome] = await encoder.encode([item]);
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    expect(outcome.value).toMatchObject({ tokens, columns });

    await using file = await SafetensorsFile.open(fixture("images/embeddings.safetensors"));
    const expected = await readFloats(file, tensor);
    const kept = new Float32Array(expected.length);
    for (let row = 0; row * columns < expected.length; row++) {
      const start = row * row_stride * columns;
      kept.set(outcome.value.data.subarray(start, start + columns), row * columns);
    }
    expect(compareWithReference(kept, expected).relativeL2).toBeLessThanOrEqual(toleranceOf(image));
  });
});
