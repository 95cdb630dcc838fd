/** The settings of InternVL's image processors: an image becomes tiles of one size, and a thumbnail behind them. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { nearestTiles } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

export interface TileSettings {
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** The fewest and the most tiles of an image, without its thumbnail. */
  readonly min: number;
  readonly max: number;
  readonly thumbnail: boolean;
}

/** What the hub's checkpoints say, in both of their layouts. */
const TILES: TileSettings = { tile: 448, min: 1, max: 12, thumbnail: true };

/** Their range: ImageNet's, where transformers' GotOcr2ImageProcessor has CLIP's. */
const IMAGENET = { imageMean: [0.485, 0.456, 0.406], imageStd: [0.229, 0.224, 0.225] };

const GOT_OCR2_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  patchOrder: "raster",
  ...tilesOf({ ...TILES, tile: 384 }),
};

export const INTERNVL_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...GOT_OCR2_CLASS, ...IMAGENET, ...tilesOf(TILES) },
  ofClass: GOT_OCR2_CLASS,
  sizes: {
    // transformers' InternVLProcessor cuts tiles whatever the file says of it.
    keys: ["min_patches", "max_patches", "crop_to_patches"],
    read(settings) {
      const { height, width } = settings.object("size").sides({ height: 384, width: 384 });
      if (height !== width) settings.object("size").fail("width", `height, which is ${height}`);
      const min = settings.positiveInteger("min_patches", TILES.min);
      const max = settings.positiveInteger("max_patches", TILES.max);
      // Published models have up to 40. An image of 256 has 51 million pixels.
      if (max > 256) settings.fail("max_patches", "at most 256");
      return tilesOf({ tile: height, min, max, thumbnail: true });
    },
  },
};

export const INTERNVL_CHAT_IMAGES: ImageProcessorDefaults = {
  withoutFile: INTERNVL_IMAGES.withoutFile,
  ofClass: INTERNVL_IMAGES.withoutFile,
  // CLIP's form of one size; config.json has the tiles.
  sizes: { keys: [], read: () => ({}) },
};

export function tilesOf({
  tile,
  min,
  max,
  thumbnail,
}: TileSettings): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fixedSize" | "fit"> {
  const square = { height: tile, width: tile };
  return {
    fixedSize: square,
    minPixels: min * tile ** 2,
    maxPixels: (max > 1 && thumbnail ? max + 1 : max) * tile ** 2,
    fit(size) {
      const { columns, rows } = nearestTiles(size, { tile, min, max });
      const resizeTo = { height: rows * tile, width: columns * tile };
      return { resizeTo, tile: square, ...(thumbnail && columns * rows > 1 && { whole: { from: "image" } }) };
    },
  };
}
