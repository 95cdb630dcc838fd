/** Settings of Pixtral's image processor. Patches are in raster order. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** transformers' PixtralImageProcessor. */
const PIXTRAL_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  patchSize: 16,
  mergeSize: 1,
  temporalPatchSize: 1,
  patchOrder: "raster",
  ...boundedBy(1024),
};

export const PIXTRAL_IMAGES: ImageProcessorDefaults = {
  withoutFile: PIXTRAL_CLASS,
  ofClass: PIXTRAL_CLASS,
  sizes: {
    keys: [],
    read(settings, { maxPixels }) {
      settings.onlyFalse("do_center_crop");
      const size = settings.object("size");
      size.onlyKeys(["longest_edge"]);
      return boundedBy(size.positiveInteger("longest_edge", Math.sqrt(maxPixels)));
    },
  },
};

/** Scales the image down to `longestEdge`, and rounds both sides up to whole tokens. */
function boundedBy(longestEdge: number): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  return {
    minPixels: 1,
    maxPixels: longestEdge ** 2,
    fit({ height, width }: ImageSize, { patchSize, mergeSize }) {
      checkAspectRatio(height, width);
      const ratio = Math.max(1, height / longestEdge, width / longestEdge);
      const block = patchSize * mergeSize;
      const whole = (side: number) => Math.ceil(Math.max(1, Math.floor(side / ratio)) / block) * block;
      return { resizeTo: { height: whole(height), width: whole(width) } };
    },
  };
}
