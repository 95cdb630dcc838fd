/** Settings of PaliGemma's image processor: every image is resized to a square; patches are in raster order. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { GEMMA3_CLASS } from "../gemma3/preprocess.js";

/** transformers' SiglipImageProcessor: Gemma 3's, with another filter, and a token for each patch. */
const SIGLIP_CLASS: ImageProcessor = { ...GEMMA3_CLASS, mergeSize: 1, filter: "bicubic" };

export const PALIGEMMA_IMAGES: ImageProcessorDefaults = {
  withoutFile: SIGLIP_CLASS,
  ofClass: SIGLIP_CLASS,
};
