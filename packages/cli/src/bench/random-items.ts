/** A workload's items with random, seeded pixels, in the form of decoded image files: uint8, cut into patches. */
import { type EncoderItem, type Grid, type PatchShape, rowElements, type VisionModel } from "@vitgraph/core";
import type { PixelSize, Workload } from "./workloads.js";

/** One item a size. The sizes must be multiples of the model's blocks: see `checkWorkload`. */
export function randomItems({ sizes, frames }: Workload, model: VisionModel): readonly EncoderItem[] {
  const shape: PatchShape = {
    mergeSize: model.spatialMergeSize,
    channels: model.channels,
    temporal: model.temporalPatchSize,
    patch: model.patchSize,
  };
  const format = frames === undefined ? "u8_still" : "u8";
  return sizes.map((size, index) => {
    const grid = gridOf(size, frames ?? 1, model);
    const pixels = randomBytes(grid.t * grid.h * grid.w * rowElements(format, shape), index + 1);
    return { format, grid, pixels };
  });
}

function gridOf([height, width]: PixelSize, frames: number, model: VisionModel): Grid {
  return {
    t: Math.ceil(frames / model.temporalPatchSize),
    h: height / model.patchSize,
    w: width / model.patchSize,
  };
}

/** Marsaglia's xorshift. No two items are equal, so that no cache can answer one. */
function randomBytes(count: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(count / 4));
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, count);
}
