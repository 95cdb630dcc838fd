/**
 * Settings of LLaVA-NeXT's processors: an image becomes a base tile (a thumbnail), and the tiles of a larger, padded
 * version; each frame of a clip is cropped to one tile.
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
import { cropped, readCrop } from "../llava/preprocess.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** Default of transformers' classes: 2 to 4 tiles of 336 pixels. */
export const PINPOINTS: readonly Pinpoint[] = [
  [336, 672],
  [672, 336],
  [672, 672],
  [1008, 336],
  [336, 1008],
];

const PATCHES = { mergeSize: 1, temporalPatchSize: 1, patchOrder: "raster" } as const;

/** transformers' LlavaNextImageProcessor, with the tiles of the hub's checkpoints. */
const LLAVA_NEXT_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...PATCHES,
  ...anyresImages(336, PINPOINTS),
};

export const LLAVA_NEXT_IMAGES: ImageProcessorDefaults = {
  withoutFile: LLAVA_NEXT_CLASS,
  ofClass: LLAVA_NEXT_CLASS,
  // Tiles are always cut from resized images, and have the size of the resize and the crop. The first files have the
  // third key.
  ignored: ["do_resize", "do_center_crop", "aspect_ratio_setting"],
  sizes: anyresSizes(readTile, PINPOINTS),
};

/**
 * transformers' LlavaNextVideoVideoProcessor, with the size of the hub's checkpoints. It samples all frames by default;
 * here 8, as in its documentation.
 */
export const LLAVA_NEXT_VIDEOS: VideoProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  ...PATCHES,
  ...croppedFrames(cropped(336, 336)),
  boundsCover: "frame",
  sampling: "stride",
  numFrames: 8,
  minFrames: 1,
  maxFrames: USUAL_MAX_FRAMES,
};

export const LLAVA_NEXT_VIDEO_SIZES: SizeSettings = {
  // Includes the image keys: without video settings, those of images apply.
  keys: ["image_grid_pinpoints", "aspect_ratio_setting"],
  read: (settings) => croppedFrames(readCrop(settings)),
};

function croppedFrames({ fit }: ReturnType<typeof cropped>): Pick<VideoProcessor, "fitClip"> {
  return { fitClip: (_frames, size, processor) => fit(size, processor) };
}

/** Pixels along one side of a tile. Files have numbers, the shorter side, or a square. */
function readTile(settings: SettingsReader): number {
  const size = settings.object("size", (edge) => ({ shortest_edge: edge }));
  const crop = settings.object("crop_size", (side) => ({ height: side, width: side }));
  size.onlyKeys(["shortest_edge", "height", "width"]);
  const tile = size.square(size.positiveInteger("shortest_edge", 224));
  // The base tile has the size of the resize, the others that of the crop.
  return crop.square(224) === tile ? tile : crop.fail("height", `the side of size, which is ${tile}`);
}
