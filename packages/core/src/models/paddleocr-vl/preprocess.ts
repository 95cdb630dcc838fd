/** Settings of PaddleOCR-VL's image processor. Patches are in raster order. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { resizeBounds } from "../../images/image-processor.js";
import { type ImageSize, smartResize } from "../../images/smart-resize.js";
import { roundHalfEven } from "../../numerics.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** transformers' PaddleOCRVLImageProcessor. */
const PADDLEOCR_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  patchOrder: "raster",
  minPixels: 384 * 384,
  maxPixels: 1536 * 1536,
  fit: fitWithSideFloor,
};

export const PADDLEOCR_IMAGES: ImageProcessorDefaults = {
  withoutFile: PADDLEOCR_CLASS,
  ofClass: PADDLEOCR_CLASS,
};

/** First scales an image up to at least `factor` pixels per side, then applies smart_resize. */
function fitWithSideFloor(size: ImageSize, processor: ImageProcessor) {
  const bounds = resizeBounds(processor);
  let { height, width } = size;
  if (height < bounds.factor) {
    width = roundHalfEven((width * bounds.factor) / height);
    height = bounds.factor;
  }
  if (width < bounds.factor) {
    height = roundHalfEven((height * bounds.factor) / width);
    width = bounds.factor;
  }
  return { resizeTo: smartResize(height, width, bounds) };
}
