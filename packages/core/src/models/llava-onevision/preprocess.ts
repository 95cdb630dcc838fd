/**
 * Settings of LLaVA-OneVision's processors: an image becomes a base tile (a thumbnail), and the tiles of a larger,
 * padded version; each frame of a clip becomes one tile.
 */
import type {
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { USUAL_MAX_FRAMES } from "../../video/sample-frames.js";
import { anyresImages, anyresSizes, type Pinpoint } from "../anyres.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** Default of transformers' class: 1 to 6 tiles of 384 pixels along each side. */
export const PINPOINTS: readonly Pinpoint[] = [1, 2, 3, 4, 5, 6].flatMap((rows) =>
  [1, 2, 3, 4, 5, 6].map((columns) => [rows * 384, columns * 384] as const),
);

const PATCHES = { mergeSize: 1, temporalPatchSize: 1, patchOrder: "raster" } as const;

/** Normalisation of the hub's checkpoints. */
const NORMALISATION = { imageMean: [0.5, 0.5, 0.5], imageStd: [0.5, 0.5, 0.5] };

/** transformers' LlavaOnevisionImageProcessor. */
const LLAVA_ONEVISION_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...PATCHES,
  ...anyresImages(384, PINPOINTS),
};

export const LLAVA_ONEVISION_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...LLAVA_ONEVISION_CLASS, ...NORMALISATION },
  ofClass: LLAVA_ONEVISION_CLASS,
  // Tiles are always cut from resized images.
  ignored: ["do_resize"],
  sizes: anyresSizes(readTile, PINPOINTS),
};

/** transformers' LlavaOnevisionVideoProcessor. It samples all frames by default; here 8, as in its documentation. */
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

export const LLAVA_ONEVISION_VIDEOS: VideoProcessor = { ...LLAVA_ONEVISION_VIDEO_CLASS, ...NORMALISATION };

export const LLAVA_ONEVISION_VIDEO_SIZES: SizeSettings = {
  // Includes the image key: without video settings, those of images apply.
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

/** Frames are resized to a square; pixels after the last whole patch are dropped. @param side in pixels */
function squareFrames(side: number): Pick<VideoProcessor, "fitClip"> {
  return {
    fitClip(_frames, _size, { patchSize }) {
      const seen = side - (side % patchSize);
      return { resizeTo: { height: side, width: side }, canvas: { height: seen, width: seen } };
    },
  };
}
