/**
 * Device memory of an encoder without graphs while it runs a batch of the largest budget, to compare with the memory of one
 * with graphs. The figures are differences of the device's free memory, so they include more than the arenas, and no other
 * process may allocate meanwhile.
 */
import { type Device, type LoadedModel, tokenCount, VisionEncoder } from "@vitgraph/core";
import { randomItems } from "./random-items.js";
import type { PixelSize } from "./workloads.js";

export interface EagerMemory {
  /** Before any run: weights and grid cache. */
  readonly residentBytes: number;
  /** With the run's own memory. */
  readonly eagerBytes: number;
}

/** Tokens along a side of the images that fill the batch. */
const SIDE = 8;

export async function measureEagerMemory(
  model: LoadedModel,
  device: Device,
  compilationConfig: object,
  tokens: number,
): Promise<EagerMemory> {
  const { freeBytes } = device.memory();
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig: { ...compilationConfig, cudagraph_mm_encoder: false },
    maxBatchTokens: tokens,
    warmUpGrids: "none",
  });
  const residentBytes = freeBytes - device.memory().freeBytes;
  const outcomes = await encoder.run(
    randomItems({ name: "full", sizes: sizesOf(tokens, model) }, model.vision),
    null,
  );
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return { residentBytes, eagerBytes: freeBytes - device.memory().freeBytes };
}

/** Squares, and a row for the rest; or as many of the model's one size as fit. */
function sizesOf(tokens: number, { vision }: LoadedModel): readonly PixelSize[] {
  const block = vision.patchSize * vision.spatialMergeSize;
  const { fixedGrid, patchSize } = vision;
  if (fixedGrid !== undefined) {
    const count = Math.floor(tokens / tokenCount(fixedGrid, vision.spatialMergeSize));
    return new Array<PixelSize>(count).fill([fixedGrid.h * patchSize, fixedGrid.w * patchSize]);
  }
  const squares = new Array<PixelSize>(Math.floor(tokens / SIDE ** 2)).fill([SIDE * block, SIDE * block]);
  const rest = tokens % SIDE ** 2;
  return rest === 0 ? squares : [...squares, [block, rest * block]];
}
