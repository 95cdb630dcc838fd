/**
 * Settings of LFM2-VL's image processor: an image is resized to a bounded number of tokens. A much larger image becomes
 * tiles of one size, followed by the resized image as a thumbnail.
 */
import type { FittedImage, ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import {
  checkAspectRatio,
  type ImageSize,
  nearestTiles,
  type ResizeBounds,
  withinBounds,
} from "../../images/smart-resize.js";
import { roundHalfEven } from "../../numerics.js";

interface SplitSettings {
  /** Pixels along one side of a patch. */
  readonly patch: number;
  /** Pixels along one side of a token. */
  readonly block: number;
  readonly minTokens: number;
  readonly maxTokens: number;
  /** An image with more than `tolerance` · `maxTokens` tokens is cut into tiles. */
  readonly tolerance: number;
  /** Pixels along one side of a tile. */
  readonly tile: number;
  readonly minTiles: number;
  readonly maxTiles: number;
  readonly thumbnail: boolean;
}

/** transformers' Lfm2VlImageProcessor. */
const SPLIT: SplitSettings = {
  patch: 16,
  block: 32,
  minTokens: 64,
  maxTokens: 256,
  tolerance: 2,
  tile: 512,
  minTiles: 2,
  maxTiles: 10,
  thumbnail: true,
};

const LFM2_VL_CLASS: ImageProcessor = {
  patchSize: 16,
  mergeSize: 2,
  patchOrder: "raster",
  channelsLast: true,
  temporalPatchSize: 1,
  filter: "bilinear",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: true,
  ...split(SPLIT),
};

export const LFM2_VL_IMAGES: ImageProcessorDefaults = {
  withoutFile: LFM2_VL_CLASS,
  ofClass: LFM2_VL_CLASS,
  ignored: ["do_resize"],
  sizes: {
    keys: [
      ...["encoder_patch_size", "downsample_factor", "min_image_tokens", "max_image_tokens"],
      ...[
        "max_pixels_tolerance",
        "tile_size",
        "min_tiles",
        "max_tiles",
        "use_thumbnail",
        "do_image_splitting",
      ],
      // Ignored: `max_num_patches` follows from the others, and `return_row_col_info` affects only the prompt.
      ...["max_num_patches", "return_row_col_info"],
    ],
    read(settings) {
      const patchSize = settings.positiveInteger("encoder_patch_size", 16);
      const mergeSize = settings.positiveInteger("downsample_factor", 2);
      const block = patchSize * mergeSize;
      const tile = settings.positiveInteger("tile_size", SPLIT.tile);
      if (tile % block !== 0) settings.fail("tile_size", `a multiple of ${block}`);
      const splitting = settings.boolean("do_image_splitting", true);
      const maxTiles = splitting ? settings.positiveInteger("max_tiles", SPLIT.maxTiles) : 1;
      const minTiles = splitting ? settings.positiveInteger("min_tiles", SPLIT.minTiles) : 1;
      if (maxTiles > 256) settings.fail("max_tiles", "at most 256");
      if (minTiles > maxTiles) settings.fail("min_tiles", `at most max_tiles, which is ${maxTiles}`);
      return {
        patchSize,
        mergeSize,
        ...split({
          patch: patchSize,
          block,
          minTokens: settings.positiveInteger("min_image_tokens", SPLIT.minTokens),
          maxTokens: settings.positiveInteger("max_image_tokens", SPLIT.maxTokens),
          tolerance: settings.positiveNumber("max_pixels_tolerance", SPLIT.tolerance),
          tile,
          minTiles,
          maxTiles,
          thumbnail: settings.boolean("use_thumbnail", true),
        }),
      };
    },
  },
};

function split(settings: SplitSettings): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  const { patch, block, minTokens, maxTokens, tolerance, tile, minTiles, maxTiles, thumbnail } = settings;
  const bounds = { factor: block, minPixels: minTokens * block ** 2, maxPixels: maxTokens * block ** 2 };
  const isLarge = ({ height, width }: ImageSize) =>
    roundedArea({ height, width }, patch, block) > bounds.maxPixels * tolerance;
  return {
    minPixels: bounds.minPixels,
    maxPixels: Math.max(1, maxTiles) * tile ** 2 + bounds.maxPixels,
    fit(size): FittedImage {
      checkAspectRatio(size.height, size.width);
      const whole = boundedSize(size, bounds);
      if (maxTiles === 1 || !isLarge(size)) return { resizeTo: whole };
      const { columns, rows } = nearestTiles(size, { tile, min: minTiles, max: maxTiles });
      const hasThumbnail = thumbnail && columns * rows > 1;
      return {
        resizeTo: { height: rows * tile, width: columns * tile },
        tile: { height: tile, width: tile },
        ...(hasThumbnail && { thumbnail: { from: "image", size: whole } }),
      };
    },
  };
}

/**
 * `smart_resize` of this processor: sides are rounded to at least one block before the area is compared with the
 * bounds.
 */
function boundedSize({ height, width }: ImageSize, bounds: ResizeBounds): ImageSize {
  const { factor } = bounds;
  const multiple = (side: number) => Math.max(factor, roundHalfEven(side / factor) * factor);
  return withinBounds(height, width, { height: multiple(height), width: multiple(width) }, bounds);
}

/** The area after rounding the sides to blocks. A side that rounds to 0 counts as a patch, as in transformers. */
function roundedArea({ height, width }: ImageSize, patch: number, block: number): number {
  const multiple = (side: number) => Math.max(patch, roundHalfEven(side / block) * block);
  return multiple(height) * multiple(width);
}
