/**
 * Settings of InternVL's processors: an image becomes tiles of one size, followed by a thumbnail; each frame of a clip
 * becomes one tile.
 */
import type {
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import { type ImageSize, nearestTiles } from "../../images/smart-resize.js";
import { checkFrameCount, type FrameRule, USUAL_MAX_FRAMES } from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

export interface TileSettings {
  /** Pixels along one side of a tile. */
  readonly tile: number;
  /** Minimum and maximum number of tiles of an image, without its thumbnail. */
  readonly min: number;
  readonly max: number;
  readonly thumbnail: boolean;
}

/** Tile settings of the hub's checkpoints, in both layouts. */
const TILES: TileSettings = { tile: 448, min: 1, max: 12, thumbnail: true };

/** Normalisation of the hub's checkpoints: ImageNet's. transformers' GotOcr2ImageProcessor has CLIP's. */
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
  // Tiles are always cut from resized images.
  ignored: ["do_resize"],
  sizes: {
    // transformers' InternVLProcessor ignores `crop_to_patches` and always cuts tiles.
    keys: ["min_patches", "max_patches", "crop_to_patches"],
    read(settings) {
      const tile = settings.object("size").square(384);
      const min = settings.positiveInteger("min_patches", TILES.min);
      const max = settings.positiveInteger("max_patches", TILES.max);
      // Published models have up to 40 tiles. 256 tiles have 51 million pixels.
      if (max > 256) settings.fail("max_patches", "at most 256");
      return tilesOf({ tile, min, max, thumbnail: true });
    },
  },
};

/** Ignores the size in the processor file, which is CLIP's: config.json has the tile settings. */
export const INTERNVL_CHAT_SIZES: SizeSettings = { keys: [], read: () => ({}) };

export const INTERNVL_CHAT_IMAGES: ImageProcessorDefaults = {
  withoutFile: INTERNVL_IMAGES.withoutFile,
  ofClass: INTERNVL_IMAGES.withoutFile,
  ignored: ["do_resize"],
  sizes: INTERNVL_CHAT_SIZES,
};

/** `sample_frames` of transformers' InternVLVideoProcessor: the middle frames of equal parts of the clip. */
const sampleMiddles: FrameRule = ({ frames, fps: clipFps }, { fps, numFrames }, { maxFrames }) => {
  const byRate = fps === undefined ? 1 : Math.min(frames, maxFrames, Math.trunc((frames / clipFps) * fps));
  const count = Math.max(1, numFrames ?? byRate);
  checkFrameCount(count, frames);
  const step = frames / count;
  // float32, as in torch.arange. torch's vectorised code may differ by one frame for clips of thousands of frames.
  return Array.from({ length: count }, (_, index) => Math.trunc(Math.fround(step / 2 + index * step)));
};

/** transformers' InternVLVideoProcessor. It samples all frames by default; here 8, as in the model cards. */
export const INTERNVL_VIDEO_CLASS: VideoProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  patchOrder: "raster",
  fixedSize: { height: 384, width: 384 },
  boundsCover: "frame",
  sampling: sampleMiddles,
  numFrames: 8,
  minFrames: 1,
  maxFrames: USUAL_MAX_FRAMES,
};

export const INTERNVL_VIDEOS: VideoProcessor = {
  ...INTERNVL_VIDEO_CLASS,
  ...IMAGENET,
  fixedSize: { height: TILES.tile, width: TILES.tile },
};

export const INTERNVL_VIDEO_SIZES: SizeSettings = {
  // Includes the image keys: without video settings, those of images apply.
  keys: ["initial_shift", "min_patches", "max_patches", "crop_to_patches"],
  read(settings, { fixedSize }) {
    settings.onlyTrue("initial_shift");
    settings.onlyFalse("do_center_crop");
    const tile = settings.object("size").square(fixedSize?.height ?? TILES.tile);
    return { fixedSize: { height: tile, width: tile } };
  },
};

/** @param arrange returns the number of columns and rows of tiles. Default: the nearest aspect ratio */
export function tilesOf(
  { tile, min, max, thumbnail }: TileSettings,
  arrange: (size: ImageSize) => { readonly columns: number; readonly rows: number } = (size) =>
    nearestTiles(size, { tile, min, max }),
): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fixedSize" | "fit"> {
  const square = { height: tile, width: tile };
  return {
    fixedSize: square,
    minPixels: min * tile ** 2,
    maxPixels: (max > 1 && thumbnail ? max + 1 : max) * tile ** 2,
    fit(size) {
      const { columns, rows } = arrange(size);
      const resizeTo = { height: rows * tile, width: columns * tile };
      return {
        resizeTo,
        tile: square,
        ...(thumbnail && columns * rows > 1 && { thumbnail: { from: "image" } }),
      };
    },
  };
}
