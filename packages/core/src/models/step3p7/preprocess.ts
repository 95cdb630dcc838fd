/**
 * Settings of Step-3.7-Flash's image processor: an image becomes tiles of one size, followed by the whole image as a
 * square. A small image that is not elongated has no tiles.
 */
import type { FittedImage, ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { MERGE } from "./config.js";

interface WindowSettings {
  /** Pixels along one side of the whole image as a square. */
  readonly whole: number;
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** The longest side of an image before it is cut; longer ones are scaled down. */
  readonly longest: number;
}

const WINDOWS: WindowSettings = { whole: 728, tile: 504, longest: 3024 };

/** transformers' Step3p7ImageProcessor. */
const STEP_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  patchSize: 14,
  mergeSize: MERGE,
  temporalPatchSize: 1,
  patchOrder: "raster",
  filter: "bilinear",
  ...windows(WINDOWS),
};

export const STEP_IMAGES: ImageProcessorDefaults = {
  withoutFile: STEP_CLASS,
  ofClass: STEP_CLASS,
  // Images are always resized.
  ignored: ["do_resize"],
  sizes: {
    // `patch_size` is the side of a tile. `downsampler_stride` affects only the prompt.
    keys: ["patch_size", "max_image_size", "vision_patch_size", "downsampler_stride"],
    read(settings, { patchSize: absent }) {
      const patchSize = settings.positiveInteger("vision_patch_size", absent);
      const block = patchSize * MERGE;
      const whole = settings.object("size").square(WINDOWS.whole);
      if (whole % block !== 0) settings.fail("size", `a height and a width that are multiples of ${block}`);
      const tile = settings.positiveInteger("patch_size", WINDOWS.tile);
      if (tile % block !== 0) settings.fail("patch_size", `a multiple of ${block}`);
      const longest = settings.positiveInteger("max_image_size", WINDOWS.longest, 16_384);
      return { patchSize, ...windows({ whole, tile, longest }) };
    },
  },
};

function windows({
  whole,
  tile,
  longest,
}: WindowSettings): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  const square = (side: number): ImageSize => ({ height: side, width: side });
  return {
    minPixels: whole ** 2,
    maxPixels: whole ** 2 + (Math.ceil(longest / tile) * tile) ** 2,
    fit(size): FittedImage {
      checkAspectRatio(size.height, size.width);
      const padded = isStrip(size) ? square(Math.max(size.height, size.width)) : size;
      const paddedTo = padded === size ? {} : { paddedTo: padded };
      const scaled = scaledDown(padded, longest);
      const via = scaled === padded ? {} : { via: scaled };
      const window = windowOf(scaled, whole, tile);
      if (window === undefined) return { ...paddedTo, ...via, resizeTo: square(whole) };
      const [height, width] = [snapped(scaled.height, window), snapped(scaled.width, window)];
      return {
        ...paddedTo,
        resizeTo: { height, width },
        // A window beyond the image is black there, as in the checkpoint's own processor.
        canvas: { height: Math.max(height, window), width: Math.max(width, window) },
        tile: square(window),
        tileResizedTo: square(tile),
        thumbnail: { from: "image", ...via, size: square(whole) },
      };
    },
  };
}

/** A thin and long image is padded to a square. */
function isStrip({ height, width }: ImageSize): boolean {
  return Math.min(height, width) < 32 && Math.max(width / height, height / width) > 4;
}

function scaledDown(size: ImageSize, longest: number): ImageSize {
  const side = Math.max(size.height, size.width);
  if (side <= longest) return size;
  const scaled = (length: number) => Math.max(1, Math.trunc(length * (longest / side)));
  return { height: scaled(size.height), width: scaled(size.width) };
}

/** Pixels along one side of a window, which becomes a tile; undefined for an image without tiles. */
function windowOf({ height, width }: ImageSize, whole: number, tile: number): number | undefined {
  const [short, long] = [Math.min(height, width), Math.max(height, width)];
  if (long <= whole) return long / short > 1.5 ? short : undefined;
  return long / short > 4 ? Math.min(short, tile) : tile;
}

/** A side in whole windows: one more if the rest is over a fifth of a window. */
function snapped(side: number, window: number): number {
  if (side < window) return side;
  return window * (Math.floor(side / window) + (side % window > 0.2 * window ? 1 : 0));
}
