/** Settings of Gemma 3's image processor: every image is resized to a square; patches are in raster order. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";

/** transformers' Gemma3ImageProcessor, with images of 224² and mean and std of ½ (transformers' IMAGENET_STANDARD). */
export const GEMMA3_CLASS: ImageProcessor = {
  patchSize: 14,
  mergeSize: 4,
  patchOrder: "raster",
  temporalPatchSize: 1,
  minPixels: 1,
  maxPixels: 896 * 896,
  fixedSize: { height: 224, width: 224 },
  filter: "bilinear",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  rescaleFactor: 1 / 255,
  doResize: true,
  doRescale: true,
  doNormalize: true,
};

export const GEMMA3_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...GEMMA3_CLASS, fixedSize: { height: 896, width: 896 } },
  ofClass: GEMMA3_CLASS,
};
