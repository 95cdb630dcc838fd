/**
 * Settings of the image processors of Command A Vision and Aya Vision: an image becomes tiles of one size, followed by
 * a thumbnail. The two choose the tiles' arrangement by different rules; Aya Vision's is InternVL's.
 */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { INTERNVL_IMAGES, tilesOf } from "../internvl/preprocess.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** Normalisation of SigLIP, and of the hub's checkpoints. transformers' classes have CLIP's. */
const HALF = { imageMean: [0.5, 0.5, 0.5], imageStd: [0.5, 0.5, 0.5] };

const COMMAND_A_TILE = 512;
const MAX_TILES = 12;

/** transformers' Cohere2VisionImageProcessor. */
const COHERE2_VISION_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  patchSize: 16,
  temporalPatchSize: 1,
  patchOrder: "raster",
  ...canvasTiles(COMMAND_A_TILE, MAX_TILES),
};

export const COHERE2_VISION_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...COHERE2_VISION_CLASS, ...HALF },
  ofClass: COHERE2_VISION_CLASS,
  // Tiles are always cut from resized images.
  ignored: ["do_resize"],
  sizes: {
    // transformers' class reads `min_patches` and ignores it. `patch_size` is the number of tokens along a tile's side.
    keys: ["min_patches", "max_patches", "crop_to_patches", "patch_size"],
    read(settings) {
      const tile = settings.object("size").square(COMMAND_A_TILE);
      const max = settings.positiveInteger("max_patches", MAX_TILES);
      // 256 tiles have 67 million pixels.
      if (max > 256) settings.fail("max_patches", "at most 256");
      return canvasTiles(tile, settings.boolean("crop_to_patches", true) ? max : 1);
    },
  },
};

export const AYA_VISION_IMAGES: ImageProcessorDefaults = {
  ...INTERNVL_IMAGES,
  withoutFile: {
    ...INTERNVL_IMAGES.ofClass,
    ...HALF,
    ...tilesOf({ tile: 364, min: 1, max: MAX_TILES, thumbnail: true }),
  },
};

function canvasTiles(tile: number, max: number): ReturnType<typeof tilesOf> {
  return tilesOf({ tile, min: 1, max, thumbnail: true }, (size) => tightestTiles(size, tile, max));
}

/**
 * The tile arrangement that enlarges the image least, or else shrinks it least, by the side that allows less. The one
 * with fewer tiles wins ties, then the one with fewer columns.
 * @throws VG_IMAGE_ASPECT_RATIO
 */
function tightestTiles({ height, width }: ImageSize, tile: number, max: number) {
  checkAspectRatio(height, width);
  let best = { columns: 1, rows: 1, scale: 0 };
  for (let count = 1; count <= max; count++) {
    for (let columns = 1; columns <= count; columns++) {
      if (count % columns !== 0) continue;
      const rows = count / columns;
      const scale = Math.min((columns * tile) / width, (rows * tile) / height);
      const better = best.scale < 1 ? scale > best.scale : scale >= 1 && scale < best.scale;
      if (better) best = { columns, rows, scale };
    }
  }
  return best;
}
