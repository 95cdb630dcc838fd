/**
 * Replays each captured program on random items, with everything that it may write poisoned first, and compares it with
 * the eager run. What other engines found out from wrong answers (stale rows, unwritten rows, frozen metadata) ends here.
 */
import type { DType } from "@vitgraph/cuda-kernels";
import { type EncoderItem, patchCount, rowElements } from "../item.js";
import type { VisionModel } from "../models/vision-model.js";
import { bf16ToF32, compareWithReference } from "../numerics.js";
import type { EncoderPrograms, ItemRows } from "./encoder-programs.js";
import { stageBatch } from "./stage-batch.js";

export interface GraphFailure {
  readonly budget: number;
  /** NaN where the replay had NaN or infinity in it. */
  readonly relativeL2: number;
}

/**
 * Replay and eager run may take kernels of different tile shapes, and so round differently; bf16 keeps 8 bits of a
 * value, and a tower of 27 layers has shown 1.2 % of rounding. A stale or missing row is far beyond this.
 */
const TOLERANCE = 0.05;

/** Elements that are compared, about. */
const SAMPLES = 2 ** 20;

/** Returns the budgets whose replay differs. */
export async function checkGraphs(
  model: VisionModel,
  programs: EncoderPrograms,
  budgets: readonly number[],
  activationDType: DType,
): Promise<readonly GraphFailure[]> {
  const failures: GraphFailure[] = [];
  for (const budget of budgets) {
    const batch = stageBatch(model, randomItems(model, budget));
    const eager = await programs.run(batch, null);
    await programs.poison();
    const replayed = await programs.run(batch, budget);
    const { relativeL2 } = compareWithReference(
      sampleOf(replayed.items, activationDType),
      sampleOf(eager.items, activationDType),
    );
    const finite = replayed.items.every(({ firstNonFinite }) => firstNonFinite < 0);
    if (!(finite && relativeL2 <= TOLERANCE)) failures.push({ budget, relativeL2 });
  }
  return failures;
}

/** Three stills of unlike sizes that leave a token of the budget empty, where it has room for that. */
function randomItems(model: VisionModel, budget: number): readonly EncoderItem[] {
  const tokens = Math.max(1, budget - 1);
  const first = Math.ceil(tokens / 2);
  const second = Math.floor((tokens - first) / 3);
  return [first, second, tokens - first - second]
    .filter((count) => count > 0)
    .map((count, index) => randomStill(model, count, budget + index));
}

/** As square as its number of tokens allows. */
function randomStill(model: VisionModel, tokens: number, seed: number): EncoderItem {
  let rows = Math.floor(Math.sqrt(tokens));
  while (tokens % rows !== 0) rows -= 1;
  const merge = model.spatialMergeSize;
  const grid = { t: 1, h: rows * merge, w: (tokens / rows) * merge };
  const { channels, temporalPatchSize: temporal, patchSize: patch } = model;
  const row = rowElements("u8_still", { mergeSize: merge, channels, temporal, patch });
  const pixels = new Uint8Array(patchCount(grid) * row);
  let state = seed;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = state >>> 24;
  }
  return { format: "u8_still", grid, pixels };
}

/**
 * Some of the elements, spread over all rows and columns: a row or a tile that is wrong has many of them, and all of a
 * large result would take seconds to compare. (That every element is finite the device has looked at.)
 */
function sampleOf(items: readonly ItemRows[], dtype: DType): Float32Array {
  const rows = items.map(({ bytes: { buffer, byteOffset, byteLength } }) =>
    dtype === "f32"
      ? new Float32Array(buffer, byteOffset, byteLength / 4)
      : new Uint16Array(buffer, byteOffset, byteLength / 2),
  );
  // Odd, so that it meets every column of a width that is a power of two.
  const stride = Math.max(1, Math.floor(rows.reduce((sum, { length }) => sum + length, 0) / SAMPLES)) | 1;
  const parts = rows.map((all) => {
    const part = new (dtype === "f32" ? Float32Array : Uint16Array)(Math.ceil(all.length / stride));
    for (let index = 0; index < part.length; index++) part[index] = all[index * stride] as number;
    return part instanceof Float32Array ? part : bf16ToF32(part);
  });
  const sample = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    sample.set(part, at);
    at += part.length;
  }
  return sample;
}
