/** The settings of LLaVA-OneVision-1.5's image processor: Qwen2-VL's class, with patches of one frame and larger images. */
import type { ImageProcessorDefaults } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

export const LLAVA_ONEVISION1_5_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...QWEN2_VL_IMAGE_CLASS, temporalPatchSize: 1, maxPixels: 1600 ** 2 },
  ofClass: QWEN2_VL_IMAGE_CLASS,
};
