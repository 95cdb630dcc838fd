/** Settings of Muse-Glimmer's processors: a maximum number of tokens for images, and for each frame of a clip. */
import type {
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { linspaceF32 } from "../../numerics.js";
import { type FrameRule, LARGEST_MAX_FRAMES } from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { tokenGrid } from "./token-grid.js";

const MAX_IMAGE_TOKENS = 4096;
const MAX_FRAME_TOKENS = 144;
const MAX_FRAMES = 96;

/** transformers' MuseGlimmerImageProcessor. Before torchvision 0.27, and on a GPU, it uses bicubic instead of lanczos. */
const MUSE_GLIMMER_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  patchOrder: "raster",
  filter: "lanczos",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  ...bounded(MAX_IMAGE_TOKENS, 28),
};

export const MUSE_GLIMMER_IMAGES: ImageProcessorDefaults = {
  withoutFile: MUSE_GLIMMER_CLASS,
  ofClass: MUSE_GLIMMER_CLASS,
  sizes: {
    keys: ["max_image_tokens"],
    read: (settings, absent) =>
      bounded(
        settings.positiveInteger("max_image_tokens", MAX_IMAGE_TOKENS, MOST_TOKENS),
        blockOf(settings, absent),
      ),
  },
};

/**
 * `sample_frames` of transformers' MuseGlimmerVideoProcessor: frames at the rate, up to the limit, in whole temporal
 * patches and equal steps.
 */
const sampleWholePatches: FrameRule = ({ frames, fps: clipFps }, wanted, limits) => {
  const { fps = limits.fps ?? 2, numFrames = limits.maxFrames } = wanted;
  const patch = limits.temporalPatchSize;
  const most = Math.min(Math.trunc((frames * fps) / clipFps), numFrames, frames);
  const count = Math.min(Math.max(patch, Math.floor(most / patch) * patch), frames);
  // From 2²⁴ frames on, float32 may round up to a frame after the last.
  return linspaceF32(frames - 1, count).map((place) => Math.min(Math.floor(place), frames - 1));
};

/** transformers' MuseGlimmerVideoProcessor. */
export const MUSE_GLIMMER_VIDEOS: VideoProcessor = {
  ...MUSE_GLIMMER_CLASS,
  ...boundedFrames(MAX_FRAME_TOKENS, 28),
  boundsCover: "frame",
  sampling: sampleWholePatches,
  fps: 2,
  minFrames: 1,
  maxFrames: MAX_FRAMES,
};

export const MUSE_GLIMMER_VIDEO_SIZES: SizeSettings = {
  // An image processor's file applies to videos if there is no other. Its bound does not.
  keys: ["max_video_frame_tokens", "max_image_tokens"],
  read: (settings, absent) => ({
    ...boundedFrames(
      settings.positiveInteger("max_video_frame_tokens", MAX_FRAME_TOKENS, MOST_TOKENS),
      blockOf(settings, absent),
    ),
    maxFrames: settings.positiveInteger("num_frames", MAX_FRAMES, LARGEST_MAX_FRAMES),
  }),
};

/** Upper bound of both settings: 16 million tokens are far above what a device holds. */
const MOST_TOKENS = 2 ** 24;

/** Pixels along one side of a token. */
function blockOf(settings: SettingsReader, { patchSize, mergeSize }: ImageProcessor): number {
  return settings.patchSize(patchSize) * settings.positiveInteger("merge_size", mergeSize);
}

function bounded(
  maxTokens: number,
  block: number,
): Required<Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit">> {
  return {
    minPixels: block ** 2,
    maxPixels: maxTokens * block ** 2,
    fit(size, { patchSize, mergeSize }) {
      const side = patchSize * mergeSize;
      const [rows, columns] = tokenGrid(size, side, maxTokens);
      return { resizeTo: { height: rows * side, width: columns * side } };
    },
  };
}

/** Like {@link bounded}, for images and for each frame of a clip. */
function boundedFrames(maxTokens: number, block: number) {
  const settings = bounded(maxTokens, block);
  const fitClip: VideoProcessor["fitClip"] = (_frames, size, processor) => settings.fit(size, processor);
  return { ...settings, fitClip };
}
