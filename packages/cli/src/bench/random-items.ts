/** A workload's items with random, seeded pixels, in the form of decoded image files: uint8, cut into patches. */
import { type EncoderItem, type Grid, patchCount, rowElements, type VisionModel } from "@vitgraph/core";

/** One item per grid: images, or clips if the format is `u8`. */
export function randomItems(
  grids: readonly Grid[],
  { spatialMergeSize, channels, temporalPatchSize, patchSize }: VisionModel,
  format: "u8_still" | "u8" = "u8_still",
): readonly EncoderItem[] {
  const shape = { mergeSize: spatialMergeSize, channels, temporal: temporalPatchSize, patch: patchSize };
  return grids.map((grid, index) => {
    const pixels = randomBytes(patchCount(grid) * rowElements(format, shape), index + 1);
    return { format, grid, pixels };
  });
}

/** Marsaglia's xorshift. The seed differs by item, so that no cache answers one. */
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
