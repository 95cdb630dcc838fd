/** Settings of MiniMax-M3's image and video processors: Qwen2-VL's rules, with other bounds and frames at equal times. */
import {
  BOUNDED_SIZES,
  type ImageProcessor,
  type ImageProcessorDefaults,
  type SizeSettings,
  type VideoProcessor,
} from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { linspace } from "../../numerics.js";
import {
  type ClipLength,
  type FrameSampling,
  type FrameSamplingLimits,
  USUAL_MAX_FRAMES,
  unsampled,
} from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** transformers' MiniMaxM3VLImageProcessor. */
const MINIMAX_M3_CLASS: ImageProcessor = { ...QWEN2_VL_IMAGE_CLASS, maxPixels: 672 * 672 };

/** `size` of the hub's file, in place of which transformers takes its default. */
const HUB_SIZE = JSON.stringify([672, 672]);

export const MINIMAX_M3_IMAGES: ImageProcessorDefaults = {
  withoutFile: MINIMAX_M3_CLASS,
  ofClass: MINIMAX_M3_CLASS,
  sizes: {
    keys: BOUNDED_SIZES.keys,
    read: (settings, absent) =>
      JSON.stringify(settings.value("size")) === HUB_SIZE
        ? readBounds(settings, absent)
        : BOUNDED_SIZES.read(settings, absent),
  },
};

/** transformers' MiniMaxM3VLVideoProcessor, which ignores `size` and `total_pixels`. */
export const MINIMAX_M3_VIDEO_SIZES: SizeSettings = {
  keys: [...BOUNDED_SIZES.keys, "total_pixels"],
  read: readBounds,
};

function readBounds(settings: SettingsReader, { minPixels, maxPixels }: ImageProcessor) {
  return {
    minPixels: settings.positiveInteger("min_pixels", minPixels),
    maxPixels: settings.positiveInteger("max_pixels", maxPixels),
  };
}

/** transformers' MiniMaxM3VLVideoProcessor, with SGLang's sampling: transformers' class takes every frame. */
export const MINIMAX_M3_VIDEOS: VideoProcessor = {
  ...MINIMAX_M3_CLASS,
  maxPixels: 28 * 28 * 768,
  boundsCover: "frame",
  sampling: sampleAtIntervals,
  fps: 1,
  minFrames: 1,
  maxFrames: USUAL_MAX_FRAMES,
};

/** Seconds by which a frame may be early. */
const TOLERANCE = 1e-4;

/**
 * The first frame, then each frame that is at least 1 / fps seconds after the sampled one before it, and the last
 * frame. Beyond the limit, frames in equal steps.
 */
function sampleAtIntervals(
  { frames, fps: clipFps }: ClipLength,
  { fps = 1, numFrames }: FrameSampling,
  { maxFrames }: FrameSamplingLimits,
): readonly number[] {
  if (numFrames !== undefined) throw unsampled("numFrames", numFrames, "give fps, or pass the frames");
  const indices: number[] = [];
  for (let frame = 0; frame < frames && indices.length <= maxFrames; ) {
    indices.push(frame);
    const next = Math.ceil((frame / clipFps + 1 / fps - TOLERANCE) * clipFps);
    frame = Math.max(next, frame + 1);
  }
  const [last, latest] = [frames - 1, indices.at(-1) as number];
  if (last / clipFps - latest / clipFps > TOLERANCE) indices.push(last);
  return indices.length <= maxFrames ? indices : linspace(0, last, maxFrames).map(Math.floor);
}
