import { expect, test } from "vitest";
import type { EncoderItem } from "../item.js";
import { createVisionModel } from "../models/index.js";
import { MINIATURE_CONFIG } from "../testing/miniature-checkpoint.js";
import { stageBatch } from "./stage-batch.js";

/** Patches of 2 × 2, 3 channels, 2 frames: 12 bytes of a still, 24 of a clip. */
const model = createVisionModel(MINIATURE_CONFIG);
const still = (h: number, w: number): EncoderItem => ({
  format: "u8_still",
  grid: { t: 1, h, w },
  pixels: new Uint8Array(h * w * 12).fill(h),
});

test("pixels are the items' own, each at its place, and every patch knows where its are", () => {
  const items: EncoderItem[] = [
    still(2, 4),
    { format: "u8", grid: { t: 1, h: 2, w: 2 }, pixels: new Uint8Array(4 * 24) },
    still(4, 2),
  ];
  const { inputs, itemTokens, work } = stageBatch(model, items);
  const pixels = inputs.filter(({ name }) => name === "pixels");
  expect(pixels.map(({ offsetBytes }) => offsetBytes)).toEqual([0, 96, 192]);
  for (const [index, { bytes }] of pixels.entries()) {
    expect(bytes).toBe((items[index] as { pixels: Uint8Array }).pixels);
  }
  const sources = inputs.find(({ name }) => name === "patch_sources")!.bytes;
  const still2 = Array.from({ length: 8 }, (_, patch) => 192 + 12 * patch);
  expect([...new Int32Array(sources.buffer)]).toEqual([
    ...Array.from({ length: 8 }, (_, patch) => 12 * patch),
    ...Array.from({ length: 4 }, (_, patch) => (96 + 24 * patch) | 1),
    ...still2,
  ]);
  expect(itemTokens).toEqual([2, 1, 2]);
  expect(work).toEqual({
    dims: { patches: 20, tokens: 5, segments: 3 },
    attentionPairs: { segments: 64 + 16 + 64 },
  });
});

test("pixel values are staged as they are: the first kernel casts them", () => {
  const pixelValues = Float32Array.from({ length: 4 * 24 }, (_, index) => index / 8);
  const item: EncoderItem = { format: "normalized", grid: { t: 1, h: 2, w: 2 }, pixelValues };
  expect(stageBatch(model, [item]).inputs[0]!.bytes.buffer).toBe(pixelValues.buffer);
});

test("pixel values with frames before channels are staged with the channels first", () => {
  const frames = { ...model, framesFirst: true };
  const { channels, temporalPatchSize: temporal, patchSize } = frames;
  const area = patchSize ** 2;
  // The value of each pixel says its frame and channel: 10 · frame + channel.
  const row = Array.from({ length: temporal * channels * area }, (_, at) => {
    const plane = Math.floor(at / area);
    return 10 * Math.floor(plane / channels) + (plane % channels);
  });
  const pixelValues = Float32Array.from(new Array(4).fill(row).flat());
  const item: EncoderItem = { format: "normalized", grid: { t: 1, h: 2, w: 2 }, pixelValues };
  const { bytes } = stageBatch(frames, [item]).inputs[0]!;
  const staged = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const planes = Array.from({ length: 4 * temporal * channels }, (_, plane) => staged[plane * area]);
  const expected = Array.from({ length: temporal * channels }, (_, plane) => {
    return 10 * (plane % temporal) + Math.floor(plane / temporal);
  });
  expect(planes).toEqual(new Array(4).fill(expected).flat());
  expect([...pixelValues.subarray(0, row.length)]).toEqual(row);
});

test("a buffer that was transferred since its item was checked is an error, not another's rows", () => {
  const items = [still(2, 4), still(2, 2)];
  const { buffer } = (items[0] as { pixels: Uint8Array }).pixels;
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  expect(() => stageBatch(model, items)).toThrow(
    "pixels has 0 elements (its buffer was transferred), but grid 1 × 2 × 4 needs 96",
  );
});

test("pixels beyond the 32 bits of a patch source are refused, not read from another patch", () => {
  // Nothing touches the memory, which all items share: the system never provides it.
  const pixels = new Uint8Array(2 ** 30);
  const item: EncoderItem = { format: "u8_still", grid: { t: 1, h: 1, w: 1 }, pixels };
  const vast = { ...model, spatialMergeSize: 1, channels: 1, patchSize: 2 ** 15, temporalPatchSize: 1 };
  const sources = stageBatch(vast, [item, item, item, item]).inputs.find(
    ({ name }) => name === "patch_sources",
  )!;
  expect([...new Uint32Array(sources.bytes.buffer)]).toEqual([0, 2 ** 30, 2 * 2 ** 30, 3 * 2 ** 30]);
  expect(() => stageBatch(vast, [item, item, item, item, item])).toThrow(
    "the pixels of a batch have more than 4 GiB: lower maxBatchTokens",
  );
});

test("orders of items lead into the rows of their own item, and those of learned rows stay", () => {
  const pixels = (patches: number) => new Uint8Array(patches * 12);
  const items = [1, 2].map(
    (w): EncoderItem => ({ format: "u8_still", grid: { t: 1, h: 1, w }, pixels: pixels(w) }),
  );
  const layout = ({ w }: { readonly w: number }) => ({
    ...model.layout({ t: 1, h: 2, w: 2 }),
    segments: { cu_seqlens: [w + 1] },
    rowSources: Int32Array.from({ length: w + 1 }, (_, row) => row - 1),
    patchRows: Int32Array.from({ length: w }, (_, patch) => patch + 1),
    tokenSources: Int32Array.from({ length: w + 1 }, (_, row) => (row === w ? -2 : row)),
  });
  const { inputs, itemTokens, work } = stageBatch(
    { ...model, spatialMergeSize: 1, layout, tokensOf: ({ w }) => w + 1 },
    items,
  );
  const valuesOf = (name: string) => [
    ...new Int32Array(inputs.find((input) => input.name === name)!.bytes.buffer),
  ];
  expect(valuesOf("row_sources")).toEqual([-1, 0, -1, 1, 2]);
  expect(valuesOf("patch_rows")).toEqual([1, 3, 4]);
  expect(valuesOf("token_sources")).toEqual([0, -2, 1, 2, -2]);
  expect(itemTokens).toEqual([2, 3]);
  expect(work.dims).toEqual({ patches: 3, tokens: 5, rows: 5, merged: 3, segments: 2 });
});

test("the rows under the kernels of two convolutions lead into the rows of their item", () => {
  const kernel = (first: number) =>
    Int32Array.from({ length: 9 }, (_, at) => (at < 4 ? -1 : first + (at % 2)));
  const layout = () => ({
    ...model.layout({ t: 1, h: 2, w: 2 }),
    convolutionRows: { patches: Int32Array.from([...kernel(0), ...kernel(2)]), merged: kernel(0) },
  });
  const still = (w: number): EncoderItem => ({
    format: "normalized",
    grid: { t: 1, h: 1, w },
    pixelValues: new Float32Array(w * 3 * model.temporalPatchSize * model.patchSize ** 2),
  });
  const batch = stageBatch({ ...model, spatialMergeSize: 1, layout, tokensOf: () => 1 }, [
    still(4),
    still(4),
  ]);
  const valuesOf = (name: string) => [
    ...new Int32Array(batch.inputs.find((input) => input.name === name)!.bytes.buffer),
  ];
  // The second item starts at row 4 of the patches, and at row 2 of the merged ones.
  expect(valuesOf("patch_kernel_rows")).toEqual([0, 2, 4, 6].flatMap((first) => [...kernel(first)]));
  expect(valuesOf("merged_kernel_rows")).toEqual([...kernel(0), ...kernel(2)]);
  const { patch_kernel_rows, merged, merged_kernel_rows } = batch.work.dims as Record<string, number>;
  expect([patch_kernel_rows, merged, merged_kernel_rows]).toEqual([36, 4, 18]);
});
