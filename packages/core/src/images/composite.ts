/** Pixel arithmetic in JavaScript, in slices that yield to the event loop. */

import { nextTurn } from "../next-turn.js";

/** Pixels per slice: about 2 ms of work. */
const SLICE_PIXELS = 1 << 18;

/**
 * RGBA → RGB over a background, rounded as Pillow's `paste` with a mask does.
 * @param rgba [pixels, 4]
 * @returns [pixels, 3], in the memory of `rgba`
 */
export async function compositeOver(
  rgba: Uint8Array,
  [red, green, blue]: readonly [number, number, number],
): Promise<Uint8Array> {
  const pixels = rgba.length / 4;
  for (let start = 0; start < pixels; start += SLICE_PIXELS) {
    if (start > 0) await nextTurn();
    const end = Math.min(start + SLICE_PIXELS, pixels);
    for (let pixel = start; pixel < end; pixel++) {
      const from = pixel * 4;
      const to = pixel * 3;
      const alpha = rgba[from + 3] as number;
      rgba[to] = blend(rgba[from] as number, red, alpha);
      rgba[to + 1] = blend(rgba[from + 1] as number, green, alpha);
      rgba[to + 2] = blend(rgba[from + 2] as number, blue, alpha);
    }
  }
  return rgba.subarray(0, pixels * 3);
}

/** Rounded division by 255, in shifts. */
function blend(colour: number, background: number, alpha: number): number {
  const sum = colour * alpha + background * (255 - alpha) + 128;
  return ((sum >> 8) + sum) >> 8;
}
