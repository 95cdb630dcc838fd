/** Items → the bytes of one run: pixels side by side, and the tables that tell the kernels whose row is whose. */
import { PIXEL_FORMATS } from "@vitgraph/cuda-kernels";
import type { WorkCounts } from "../graph/ops.js";
import { type EncoderItem, type Grid, patchCount, tokenCount } from "../item.js";
import { MODEL_INPUTS, type VisionModel } from "../models/vision-model.js";

export interface StagedBatch {
  readonly work: WorkCounts;
  /** By input name. Only the real rows: what lies beyond them on the device is never read. */
  readonly inputs: Readonly<Record<string, Uint8Array>>;
  readonly grids: readonly Grid[];
  /** i32 [patches, 4]. Made when it is asked for: programs over the grid cache do without. */
  positions(): Uint8Array;
}

export function stageBatch(model: VisionModel, items: readonly EncoderItem[]): StagedBatch {
  const layouts = items.map(({ grid }) => model.layout(grid));
  const segments = layouts.flatMap((layout) => layout.segments);
  const patches = items.reduce((sum, { grid }) => sum + patchCount(grid), 0);
  const { pixels, patchSources } = stagePixels(items, patches);
  return {
    work: {
      patches,
      tokens: items.reduce((sum, { grid }) => sum + tokenCount(grid, model.spatialMergeSize), 0),
      segments: segments.length,
      attentionPairs: segments.reduce((sum, length) => sum + length * length, 0),
    },
    inputs: {
      [MODEL_INPUTS.pixels]: pixels,
      [MODEL_INPUTS.patchSources]: bytesOf(patchSources),
      [MODEL_INPUTS.cuSeqlens]: bytesOf(cumulative(segments)),
    },
    grids: items.map(({ grid }) => grid),
    positions: () => bytesOf(concatenate(layouts.map((layout) => layout.positions))),
  };
}

/** The items' rows as they are, each on a word boundary, and for each patch its word and format. */
function stagePixels(items: readonly EncoderItem[], patches: number) {
  const parts = items.map((item) => (item.format === "normalized" ? bytesOf(item.pixelValues) : item.pixels));
  const starts = parts.map(() => 0);
  let size = 0;
  for (const [index, part] of parts.entries()) {
    starts[index] = size;
    size += Math.ceil(part.length / 4) * 4;
  }
  const pixels = new Uint8Array(size);
  const patchSources = new Int32Array(patches);
  let patch = 0;
  for (const [index, item] of items.entries()) {
    const part = parts[index] as Uint8Array;
    const start = starts[index] as number;
    pixels.set(part, start);
    const count = patchCount(item.grid);
    const rowBytes = part.length / count;
    for (let row = 0; row < count; row++) {
      // Rows start on words, so the two low bits of a byte offset are free for the format.
      patchSources[patch++] = (start + row * rowBytes) | PIXEL_FORMATS[item.format];
    }
  }
  return { pixels, patchSources };
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
