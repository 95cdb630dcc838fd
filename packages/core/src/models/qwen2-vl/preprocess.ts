/** Settings of Qwen2-VL's image and video processors, which Qwen2.5-VL shares. */
import type { ImageProcessor, ImageProcessorDefaults, VideoProcessor } from "../../images/image-processor.js";

/**
 * transformers' Qwen2VLImageProcessor: the class of all Qwen-VL families, whose processor files change its settings.
 */
export const QWEN2_VL_IMAGE_CLASS: ImageProcessor = {
  patchSize: 14,
  mergeSize: 2,
  temporalPatchSize: 2,
  minPixels: 56 * 56,
  maxPixels: 28 * 28 * 1280,
  filter: "bicubic",
  imageMean: [0.48145466, 0.4578275, 0.40821073],
  imageStd: [0.26862954, 0.26130258, 0.27577711],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: true,
};

export const QWEN2_VL_IMAGES: ImageProcessorDefaults = {
  withoutFile: QWEN2_VL_IMAGE_CLASS,
  ofClass: QWEN2_VL_IMAGE_CLASS,
};

/** transformers' Qwen2VLVideoProcessor. It samples all frames by default; here 2 per second, as in qwen-vl-utils. */
export const QWEN2_VL_VIDEOS: VideoProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  minPixels: 128 * 28 * 28,
  maxPixels: 28 * 28 * 768,
  boundsCover: "frame",
  sampling: "stride",
  fps: 2,
  minFrames: 4,
  maxFrames: 768,
};
