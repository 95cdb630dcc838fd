/** Settings of PaliGemma's image processor: every image is resized to a square; patches are in raster order. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";

/** transformers' SiglipImageProcessor. */
const SIGLIP_CLASS: ImageProcessor = {
  patchSize: 14,
  mergeSize: 1,
  patchOrder: "raster",
  temporalPatchSize: 1,
  minPixels: 1,
  maxPixels: 896 * 896,
  fixedSize: { height: 224, width: 224 },
  filter: "bicubic",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: true,
};

export const PALIGEMMA_IMAGES: ImageProcessorDefaults = {
  withoutFile: SIGLIP_CLASS,
  ofClass: SIGLIP_CLASS,
};
