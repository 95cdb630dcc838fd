/** Settings of ERNIE-4.5-VL's image processor: Qwen2-VL's rules, with patches of one frame and larger images. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** transformers' Ernie4_5_VLMoeImageProcessor. */
const ERNIE_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  maxPixels: 28 * 28 * 6177,
};

export const ERNIE_IMAGES: ImageProcessorDefaults = { withoutFile: ERNIE_CLASS, ofClass: ERNIE_CLASS };
