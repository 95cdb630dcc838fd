/** Settings of the image and video processors of Qwen3-VL and Qwen3.5. Qwen3-Omni has those of Qwen2-VL. */
import type { ImageProcessorDefaults, VideoProcessor } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS, QWEN2_VL_VIDEOS } from "../qwen2-vl/preprocess.js";

/** The size of the tower's patches. */
const PATCHES = { patchSize: 16 };

/** Normalisation in the hub's files. */
const NORMALISATION = { imageMean: [0.5, 0.5, 0.5], imageStd: [0.5, 0.5, 0.5] };

export const QWEN3_VL_IMAGES: ImageProcessorDefaults = {
  withoutFile: {
    ...QWEN2_VL_IMAGE_CLASS,
    ...PATCHES,
    ...NORMALISATION,
    minPixels: 65_536,
    maxPixels: 16_777_216,
  },
  ofClass: { ...QWEN2_VL_IMAGE_CLASS, ...PATCHES },
};

/** transformers' Qwen3VLVideoProcessor. */
export const QWEN3_VL_VIDEOS: VideoProcessor = {
  ...QWEN2_VL_VIDEOS,
  ...PATCHES,
  ...NORMALISATION,
  minPixels: 128 * 32 * 32,
  maxPixels: 32 * 32 * 768,
  boundsCover: "clip",
  sampling: "spread",
};

export const QWEN3_OMNI_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...QWEN2_VL_IMAGE_CLASS, ...PATCHES },
  ofClass: { ...QWEN2_VL_IMAGE_CLASS, ...PATCHES },
};

export const QWEN3_OMNI_VIDEOS: VideoProcessor = { ...QWEN2_VL_VIDEOS, ...PATCHES };
