/**
 * The size of an image before it is split into patches: transformers' `smart_resize`.
 *
 * Grids and token counts must equal transformers' exactly, so the arithmetic is theirs step by step, in float64 and
 * with Python's rounding of halves to even: 80 / 32 rounds to 2, not to 3.
 */
import { VitgraphError } from "@vitgraph/errors";
import { roundHalfEven } from "../numerics.js";

export interface ResizeBounds {
  /** Patch size × merge size: both sides of the result are multiples of it. */
  readonly factor: number;
  /** The result has at least this many pixels, and at most `maxPixels`. */
  readonly minPixels: number;
  readonly maxPixels: number;
}

/** In pixels. */
export interface ImageSize {
  readonly height: number;
  readonly width: number;
}

/** transformers' limit on the longer side over the shorter one. */
export const MAX_ASPECT_RATIO = 200;

/**
 * Rounds both sides to multiples of `factor`, and scales the image if the area is not within the bounds, so that the
 * aspect ratio changes as little as the multiples allow. Small images grow: 1 × 1 becomes a square of `minPixels`.
 * @throws VG_IMAGE_ASPECT_RATIO above `MAX_ASPECT_RATIO`; VG_ARGUMENT_INVALID for sizes or bounds that are not positive
 */
export function smartResize(height: number, width: number, bounds: ResizeBounds): ImageSize {
  const { factor, minPixels, maxPixels } = bounds;
  checkNumbers({ height, width, factor, minPixels, maxPixels });
  checkAspectRatio(height, width);
  return withinBounds(height, width, roundToMultiples(height, width, factor), bounds);
}

/** @param rounded the image's size in multiples of `factor`, which is the result if its area lies within the bounds */
export function withinBounds(
  height: number,
  width: number,
  rounded: ImageSize,
  { factor, minPixels, maxPixels }: ResizeBounds,
): ImageSize {
  const area = rounded.height * rounded.width;
  if (area > maxPixels) return shrink(height, width, factor, Math.sqrt((height * width) / maxPixels));
  // Also if a side was rounded to zero: transformers then scales the image to minPixels.
  if (area < minPixels) return grow(height, width, factor, Math.sqrt(minPixels / (height * width)));
  return rounded;
}

export interface VideoResizeBounds extends ResizeBounds {
  /** Frames per patch. `minPixels` and `maxPixels` bound the pixels of all frames together. */
  readonly temporalFactor: number;
}

/** Like {@link smartResize}, for bounds on all frames of a clip: `smart_resize` of transformers' video processors. */
export function smartResizeVideo(
  frames: number,
  height: number,
  width: number,
  bounds: VideoResizeBounds,
): ImageSize {
  const { factor, temporalFactor, minPixels, maxPixels } = bounds;
  checkNumbers({ frames, height, width, factor, temporalFactor, minPixels, maxPixels });
  const scaled = scaleShortSideUp(height, width, factor);
  checkAspectRatio(scaled.height, scaled.width);
  const rounded = roundToMultiples(scaled.height, scaled.width, factor);
  // transformers refuses clips with fewer frames than a patch; vitgraph counts them as one patch.
  const roundedFrames = Math.max(1, roundHalfEven(frames / temporalFactor)) * temporalFactor;
  const volume = roundedFrames * rounded.height * rounded.width;
  const scaledVolume = frames * scaled.height * scaled.width;
  if (volume > maxPixels)
    return shrink(scaled.height, scaled.width, factor, Math.sqrt(scaledVolume / maxPixels));
  if (volume < minPixels)
    return grow(scaled.height, scaled.width, factor, Math.sqrt(minPixels / scaledVolume));
  return rounded;
}

/** Python's `int` truncates the scaled sides. */
function scaleShortSideUp(height: number, width: number, factor: number): ImageSize {
  if (height >= factor && width >= factor) return { height, width };
  const scale = Math.max(factor / height, factor / width);
  return { height: Math.trunc(height * scale), width: Math.trunc(width * scale) };
}

export function checkAspectRatio(height: number, width: number): void {
  const ratio = Math.max(height, width) / Math.min(height, width);
  if (ratio <= MAX_ASPECT_RATIO) return;
  throw new VitgraphError(
    "VG_IMAGE_ASPECT_RATIO",
    `image of ${width} × ${height} pixels has an aspect ratio of ${Number(ratio.toFixed(1))}, above ${MAX_ASPECT_RATIO}`,
    { remedy: "crop it or split it into parts", details: { width, height, ratio, limit: MAX_ASPECT_RATIO } },
  );
}

/** Tile size, and limits on the number of tiles of an image. */
export interface TileCounts {
  /** Pixels along one side of a tile. */
  readonly tile: number;
  readonly min: number;
  readonly max: number;
}

/**
 * The tile arrangement with the aspect ratio nearest to the image's. On ties, the one with more tiles, unless it would
 * have more than twice the image's pixels.
 * @throws VG_IMAGE_ASPECT_RATIO
 */
export function nearestTiles(
  { height, width }: ImageSize,
  { tile, min, max }: TileCounts,
): { readonly columns: number; readonly rows: number } {
  checkAspectRatio(height, width);
  const aspect = width / height;
  let best = { columns: 1, rows: 1 };
  let distance = Number.POSITIVE_INFINITY;
  for (let count = min; count <= max; count++) {
    for (let columns = 1; columns <= count; columns++) {
      if (count % columns !== 0) continue;
      const rows = count / columns;
      const found = Math.abs(aspect - columns / rows);
      const nearer = found < distance;
      if (nearer || (found === distance && height * width > 0.5 * tile ** 2 * count))
        best = { columns, rows };
      if (nearer) distance = found;
    }
  }
  return best;
}

/** @throws VG_ARGUMENT_INVALID naming the first value that is not a positive whole number */
export function checkNumbers(values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is ${value}`, {
      remedy: "give a positive whole number",
      details: { name, value },
    });
  }
}

function roundToMultiples(height: number, width: number, factor: number): ImageSize {
  return { height: roundHalfEven(height / factor) * factor, width: roundHalfEven(width / factor) * factor };
}

function shrink(height: number, width: number, factor: number, beta: number): ImageSize {
  return {
    height: Math.max(factor, Math.floor(height / beta / factor) * factor),
    width: Math.max(factor, Math.floor(width / beta / factor) * factor),
  };
}

function grow(height: number, width: number, factor: number, beta: number): ImageSize {
  return {
    height: Math.ceil((height * beta) / factor) * factor,
    width: Math.ceil((width * beta) / factor) * factor,
  };
}
