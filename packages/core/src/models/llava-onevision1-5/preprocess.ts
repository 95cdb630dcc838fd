/** Settings of LLaVA-OneVision-1.5's processors: Qwen2-VL's classes, with patches of one frame and larger images. */
import type { ImageProcessorDefaults, VideoProcessor } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS, QWEN2_VL_VIDEOS } from "../qwen2-vl/preprocess.js";

export const LLAVA_ONEVISION1_5_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...QWEN2_VL_IMAGE_CLASS, temporalPatchSize: 1, maxPixels: 1600 ** 2 },
  ofClass: QWEN2_VL_IMAGE_CLASS,
};

export const LLAVA_ONEVISION1_5_VIDEOS: VideoProcessor = { ...QWEN2_VL_VIDEOS, temporalPatchSize: 1 };
