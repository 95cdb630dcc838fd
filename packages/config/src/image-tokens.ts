/**
 * The number of output tokens of an image, from its size: transformers' `smart_resize` followed by the token count. For
 * the linter's advice, not for pixels.
 */

export interface ImageSize {
  /** Pixels. */
  readonly height: number;
  readonly width: number;
}

/** What a processor does to an image's size. */
export interface ImageGeometry {
  /** Side of a patch, in pixels. */
  readonly patchSize: number;
  /** Patches along one side of a merged token. */
  readonly spatialMergeSize: number;
  /** Images are brought up to this many pixels … */
  readonly minPixels: number;
  /** … and down to this many. */
  readonly maxPixels: number;
}

/** Output tokens of an image of this size, after the processor's resize. */
export function imageTokens({ height, width }: ImageSize, geometry: ImageGeometry): number {
  const side = geometry.patchSize * geometry.spatialMergeSize;
  const cells = (round: (value: number) => number, scale: number) =>
    Math.max(1, round((height * scale) / side)) * Math.max(1, round((width * scale) / side));
  const pixels = cells(roundHalfEven, 1) * side * side;
  const area = height * width;
  if (pixels > geometry.maxPixels) return cells(Math.floor, Math.sqrt(geometry.maxPixels / area));
  if (pixels < geometry.minPixels) return cells(Math.ceil, Math.sqrt(geometry.minPixels / area));
  return cells(roundHalfEven, 1);
}

/** Fewest tokens that an image can have. */
export function minImageTokens(geometry: ImageGeometry): number {
  return Math.max(1, Math.ceil(geometry.minPixels / tokenPixels(geometry)));
}

/** Most tokens that an image can have. */
export function maxImageTokens(geometry: ImageGeometry): number {
  return Math.max(1, Math.floor(geometry.maxPixels / tokenPixels(geometry)));
}

function tokenPixels({ patchSize, spatialMergeSize }: ImageGeometry): number {
  return (patchSize * spatialMergeSize) ** 2;
}

/** Python's `round`. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
