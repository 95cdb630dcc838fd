/** Items → what one run copies in: pixels as the items have them, and the tables that tell the kernels whose row is whose. */
import { type DType, PIXEL_FORMATS } from "@vitgraph/cuda-kernels";
import type { WorkCounts } from "../graph/ops.js";
import { type EncoderItem, patchCount, tokenCount } from "../item.js";
import { MODEL_INPUTS, type VisionModel } from "../models/vision-model.js";
import { f32ToBf16 } from "../numerics.js";

export interface StagedBatch {
  readonly work: WorkCounts;
  /** Rows of the result that belong to each item, one item after the other. */
  readonly itemTokens: readonly number[];
  /** Only the real rows: what lies beyond them on the device is never read. */
  readonly inputs: readonly StagedInput[];
}

export interface StagedInput {
  /** Of the input in the model's graph. */
  readonly name: string;
  readonly offsetBytes: number;
  /** An item's own pixels, where they need no conversion: they must not change until the run is over. */
  readonly bytes: Uint8Array;
}

/** What staging asks of a model. */
export type BatchLayout = Pick<VisionModel, "layout" | "spatialMergeSize">;

/** @param activationDType in which `normalized` pixel values have to be staged */
export function stageBatch(
  model: BatchLayout,
  items: readonly EncoderItem[],
  activationDType: DType = "f32",
): StagedBatch {
  const layouts = items.map(({ grid }) => model.layout(grid));
  const segments = layouts.flatMap((layout) => layout.segments);
  const patches = items.reduce((sum, { grid }) => sum + patchCount(grid), 0);
  const itemTokens = items.map(({ grid }) => tokenCount(grid, model.spatialMergeSize));
  const { pixels, patchSources } = stagePixels(items, patches, activationDType);
  const table = (name: string, values: Int32Array) => ({ name, offsetBytes: 0, bytes: bytesOf(values) });
  return {
    work: {
      patches,
      tokens: itemTokens.reduce((sum, tokens) => sum + tokens, 0),
      segments: segments.length,
      attentionPairs: segments.reduce((sum, length) => sum + length * length, 0),
    },
    itemTokens,
    inputs: [
      ...pixels,
      table(MODEL_INPUTS.patchSources, patchSources),
      table(MODEL_INPUTS.positions, concatenate(layouts.map((layout) => layout.positions))),
      table(MODEL_INPUTS.cuSeqlens, cumulative(segments)),
    ],
  };
}

/** The items' rows as they are, each item on a word boundary, and for each patch its word and format. */
function stagePixels(items: readonly EncoderItem[], patches: number, activationDType: DType) {
  const pixels: StagedInput[] = [];
  const patchSources = new Int32Array(patches);
  let patch = 0;
  let start = 0;
  for (const item of items) {
    const bytes = pixelBytes(item, activationDType);
    pixels.push({ name: MODEL_INPUTS.pixels, offsetBytes: start, bytes });
    const count = patchCount(item.grid);
    const rowBytes = bytes.length / count;
    for (let row = 0; row < count; row++) {
      // Rows start on words, so the two low bits of a byte offset are free for the format.
      patchSources[patch++] = (start + row * rowBytes) | PIXEL_FORMATS[item.format];
    }
    start += Math.ceil(bytes.length / 4) * 4;
  }
  return { pixels, patchSources };
}

function pixelBytes(item: EncoderItem, activationDType: DType): Uint8Array {
  if (item.format !== "normalized") return item.pixels;
  return bytesOf(activationDType === "bf16" ? f32ToBf16(item.pixelValues) : item.pixelValues);
}

function cumulative(lengths: readonly number[]): Int32Array {
  const sums = new Int32Array(lengths.length + 1);
  for (const [index, length] of lengths.entries()) sums[index + 1] = (sums[index] as number) + length;
  return sums;
}

function concatenate(parts: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
