/** Settings of HunyuanOCR's image processor. Patches are in raster order. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { outputRows } from "./layout.js";

/** transformers' HunYuanVLImageProcessor. */
const HUNYUAN_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  patchSize: 16,
  temporalPatchSize: 1,
  patchOrder: "raster",
  minPixels: 512 * 512,
  maxPixels: 2048 * 2048,
  tokensOf: outputRows,
};

export const HUNYUAN_IMAGES: ImageProcessorDefaults = {
  withoutFile: HUNYUAN_CLASS,
  ofClass: HUNYUAN_CLASS,
  // The hub's file sets Lanczos, but the original code and transformers ignore it.
  ignored: ["resample"],
};
