/** The settings of GLM's image processors (Glm4vImageProcessor and Glm46VImageProcessor are alike). */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

const GLM4V_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  minPixels: 112 * 112,
  maxPixels: 28 * 28 * 15_000,
  boundsCoverFrames: true,
};

export const GLM4V_IMAGES: ImageProcessorDefaults = { withoutFile: GLM4V_CLASS, ofClass: GLM4V_CLASS };
