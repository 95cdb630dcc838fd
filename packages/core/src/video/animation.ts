/** Animated GIF and WebP as clips: their frames through the image library, without ffmpeg. */
import { VitgraphError } from "@vitgraph/errors";
import { supportedFormat } from "../images/image-format.js";
import { loadSharp } from "../images/load-sharp.js";
import type { ClipInfo } from "./ffmpeg.js";

export interface Animation {
  readonly info: ClipInfo;
  /** RGB [height, width, 3] of the frames with these indices, in this order. */
  frames(indices: readonly number[]): AsyncIterable<Uint8Array>;
}

/** Duration of a frame with a delay under 11 ms, as in browsers. */
const SHORT_DELAY_MS = 100;
const SHORTEST_DELAY_MS = 11;

/** Whether the bytes are in a format whose files may be animated. */
export function mayBeAnimation(bytes: Uint8Array): boolean {
  const format = supportedFormat(bytes);
  return format === "gif" || format === "webp";
}

/**
 * Decodes all frames at once: the formats store each as a delta to the previous one.
 * @param maxPixels limit on the pixels of all frames together
 * @throws VG_VIDEO_INVALID; VG_IMAGE_TOO_LARGE; VG_PACKAGE_UNAVAILABLE without sharp
 */
export async function openAnimation(bytes: Uint8Array, maxPixels: number): Promise<Animation> {
  const sharp = await loadSharp();
  const {
    width,
    height,
    pages = 1,
    pageHeight = height,
    delay = [],
    format,
  } = await sharp(bytes, { pages: -1 }).metadata().catch(invalid);
  const pixels = width * pageHeight * pages;
  if (pixels > maxPixels) {
    throw new VitgraphError(
      "VG_IMAGE_TOO_LARGE",
      `animation of ${pages} frames of ${width} × ${pageHeight} pixels is above the limit of ${maxPixels} pixels`,
      {
        remedy: "make it smaller or shorter",
        details: { width, height: pageHeight, frames: pages, maxPixels },
      },
    );
  }
  const shownMs = Array.from({ length: pages }, (_, page) => {
    const ms = delay[page] ?? SHORT_DELAY_MS;
    return ms < SHORTEST_DELAY_MS ? SHORT_DELAY_MS : ms;
  });
  const fps = (1000 * pages) / shownMs.reduce((sum, ms) => sum + ms, 0);
  return {
    info: { frames: pages, fps, height: pageHeight, width, container: format },
    async *frames(indices) {
      const image = sharp(bytes, { pages: -1, ignoreIcc: true, limitInputPixels: false });
      // As in Pillow, alpha is dropped without blending. Transparent pixels of a GIF are black.
      const data = await image
        .removeAlpha()
        .toColourspace("srgb")
        .raw({ depth: "uchar" })
        .toBuffer()
        .catch(invalid);
      const frameBytes = width * pageHeight * 3;
      for (const index of indices)
        yield new Uint8Array(data.subarray(index * frameBytes, (index + 1) * frameBytes));
    },
  };
}

function invalid(cause: Error): never {
  throw new VitgraphError("VG_VIDEO_INVALID", `the animation is truncated or damaged (${cause.message})`, {
    remedy: "copy or download it again",
    cause,
  });
}
