/**
 * A clip above the largest budget, cut between its chunks. Chunks do not attend to each other, so each part runs alone,
 * and their rows together are the clip's. Parts that have not started when the clip is cancelled never run.
 */
import { type EncoderItem, patchCount, tokenCount } from "../item.js";
import type { VisionModel } from "../models/vision-model.js";
import { concatenate } from "../numerics.js";
import type { BatchResult, ItemRows } from "./encoder-programs.js";

/** @param tokens of a budget that a part may take; a chunk that takes more is a part of its own */
export function clipParts(
  item: EncoderItem,
  { chunkFrames, spatialMergeSize }: Pick<VisionModel, "chunkFrames" | "spatialMergeSize">,
  tokens: number,
): readonly EncoderItem[] {
  const { t, h, w } = item.grid;
  if (chunkFrames === undefined || tokenCount(item.grid, spatialMergeSize) <= tokens) return [item];
  const chunkTokens = tokenCount({ t: chunkFrames, h, w }, spatialMergeSize);
  const frames = chunkFrames * Math.max(1, Math.floor(tokens / chunkTokens));
  return Array.from({ length: Math.ceil(t / frames) }, (_, part) => {
    const first = part * frames;
    return framesOf(item, first, Math.min(frames, t - first));
  });
}

/** The item of some of its frames, in the same memory. */
function framesOf(item: EncoderItem, first: number, count: number): EncoderItem {
  const { h, w } = item.grid;
  const grid = { t: count, h, w };
  const part = <T extends Uint8Array | Float32Array>(rows: T): T => {
    const frame = (rows.length / patchCount(item.grid)) * h * w;
    return rows.subarray(first * frame, (first + count) * frame) as T;
  };
  return item.format === "normalized"
    ? { format: item.format, grid, pixelValues: part(item.pixelValues) }
    : { format: item.format, grid, pixels: part(item.pixels) };
}

/** The result of one item, from those of its parts. @param elementBytes of a result */
export function joinParts(parts: readonly BatchResult[], elementBytes: number): BatchResult {
  const [only, ...others] = parts as [BatchResult, ...BatchResult[]];
  if (others.length === 0) return only;
  return {
    items: [
      joinRows(
        parts.flatMap(({ items }) => items),
        elementBytes,
      ),
    ],
    columns: only.columns,
    durationMs: parts.reduce((sum, { durationMs }) => sum + durationMs, 0),
    missedFrames: parts.flatMap(({ missedFrames }) => missedFrames),
  };
}

function joinRows(parts: readonly ItemRows[], elementBytes: number): ItemRows {
  let firstNonFinite = -1;
  let elements = 0;
  for (const part of parts) {
    if (firstNonFinite < 0 && part.firstNonFinite >= 0) firstNonFinite = elements + part.firstNonFinite;
    elements += part.bytes.length / elementBytes;
  }
  return { bytes: concatenate(parts.map(({ bytes }) => bytes)), firstNonFinite };
}
