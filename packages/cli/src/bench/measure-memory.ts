/**
 * Device memory of an eager encoder that runs a batch of the largest budget, for comparison with graphs. The figures
 * are differences of the device's free memory: they include more than the arenas, and no other process may allocate
 * meanwhile.
 */
import { type Device, type LoadedModel, stillGrids, VisionEncoder } from "@vitgraph/core";
import { randomItems } from "./random-items.js";

export interface EagerMemory {
  /** Memory before any run: weights and grid cache. */
  readonly residentBytes: number;
  /** Memory with an eager run's buffers. */
  readonly eagerBytes: number;
}

/** Tokens per image of the batch. */
const ITEM_TOKENS = 64;

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
    randomItems(stillGrids(model.vision, tokens, ITEM_TOKENS), model.vision),
    null,
  );
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return { residentBytes, eagerBytes: freeBytes - device.memory().freeBytes };
}
