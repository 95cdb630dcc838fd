/** Settings of dots.ocr's image processor: Qwen2-VL's class, with patches of one frame and larger images. */
import type { ImageProcessorDefaults } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

export const DOTS_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...QWEN2_VL_IMAGE_CLASS, temporalPatchSize: 1, maxPixels: 11_289_600 },
  ofClass: QWEN2_VL_IMAGE_CLASS,
};
