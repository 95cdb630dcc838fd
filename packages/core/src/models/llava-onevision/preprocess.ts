/**
 * The settings of LLaVA-OneVision's processors: the whole image as one tile, and tiles of a larger, padded one; each frame of a
 * clip as one tile.
 */
import type {
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { USUAL_MAX_FRAMES } from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { bestPinpoint, fittedSize, PINPOINTS, type Pinpoint, readPinpoints } from "./anyres.js";

const PATCHES = { mergeSize: 1, temporalPatchSize: 1, patchOrder: "raster" } as const;

/** Of the hub's checkpoints. */
const RANGE = { imageMean: [0.5, 0.5, 0.5], imageStd: [0.5, 0.5, 0.5] };

/** transformers' LlavaOnevisionImageProcessor. */
const LLAVA_ONEVISION_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...PATCHES,
  ...anyres(384, PINPOINTS),
};

export const LLAVA_ONEVISION_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...LLAVA_ONEVISION_CLASS, ...RANGE },
  ofClass: LLAVA_ONEVISION_CLASS,
  // Tiles are cut from resized images whatever the file says.
  ignored: ["do_resize"],
  sizes: {
    keys: ["image_grid_pinpoints"],
    read(settings) {
      const tile = readTile(settings);
      const pinpoints = readPinpoints(settings.value("image_grid_pinpoints") ?? PINPOINTS, tile);
      if (pinpoints !== undefined) return anyres(tile, pinpoints);
      return settings.fail("image_grid_pinpoints", `pairs of a height and a width in multiples of ${tile}`);
    },
  },
};

/** transformers' LlavaOnevisionVideoProcessor, which takes all frames by default; 8 are its documentation's. */
export const LLAVA_ONEVISION_VIDEO_CLASS: VideoProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...PATCHES,
  ...squareFrames(384),
  boundsCover: "frame",
  sampling: "stride",
  numFrames: 8,
  minFrames: 1,
  maxFrames: USUAL_MAX_FRAMES,
};

export const LLAVA_ONEVISION_VIDEOS: VideoProcessor = { ...LLAVA_ONEVISION_VIDEO_CLASS, ...RANGE };

export const LLAVA_ONEVISION_VIDEO_SIZES: SizeSettings = {
  // Without a file of its own, the settings are those of images.
  keys: ["image_grid_pinpoints"],
  read: (settings) => squareFrames(readTile(settings)),
};

/** Pixels along one side of a tile. */
function readTile(settings: SettingsReader): number {
  settings.onlyFalse("do_center_crop");
  const tile = settings.object("size").square(384);
  // transformers cuts an image into tiles of this size, even without the crop.
  const crop = settings.object("crop_size");
  return crop.square(tile) === tile ? tile : crop.fail("height", `size.height, which is ${tile}`);
}

/** Pixels behind the last whole patch are left out. @param side in pixels */
function squareFrames(side: number): Pick<VideoProcessor, "fitClip"> {
  return {
    fitClip(_frames, _size, { patchSize }) {
      const seen = side - (side % patchSize);
      return {
        resizeTo: { height: side, width: side },
        canvas: { height: seen, width: seen },
        isClip: true,
      };
    },
  };
}

/** @param tile pixels along one side */
function anyres(
  tile: number,
  pinpoints: readonly Pinpoint[],
): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  const square = { height: tile, width: tile };
  const areas = pinpoints.map(([height, width]) => height * width);
  return {
    minPixels: Math.min(...areas) + tile ** 2,
    maxPixels: Math.max(...areas) + tile ** 2,
    fit(imageSize) {
      const pinpoint = bestPinpoint(imageSize, pinpoints);
      const [height, width] = pinpoint;
      const resizeTo = fittedSize(imageSize, pinpoint);
      return {
        resizeTo,
        canvas: { height, width },
        // Both sides are padded alike, the last one by what is left over.
        origin: {
          top: -Math.floor((height - resizeTo.height) / 2),
          left: -Math.floor((width - resizeTo.width) / 2),
        },
        tile: square,
        whole: { from: "image", first: true },
        imageSize,
      };
    },
  };
}
