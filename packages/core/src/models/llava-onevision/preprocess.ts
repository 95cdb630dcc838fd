/** The settings of LLaVA-OneVision's image processor: the whole image as one tile, and tiles of a larger, padded one. */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { bestPinpoint, fittedSize, PINPOINTS, type Pinpoint, readPinpoints } from "./anyres.js";

/** transformers' LlavaOnevisionImageProcessor. */
const LLAVA_ONEVISION_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  mergeSize: 1,
  temporalPatchSize: 1,
  patchOrder: "raster",
  ...anyres(384, PINPOINTS),
};

export const LLAVA_ONEVISION_IMAGES: ImageProcessorDefaults = {
  withoutFile: {
    ...LLAVA_ONEVISION_CLASS,
    // The hub's checkpoints.
    imageMean: [0.5, 0.5, 0.5],
    imageStd: [0.5, 0.5, 0.5],
  },
  ofClass: LLAVA_ONEVISION_CLASS,
  sizes: {
    keys: ["image_grid_pinpoints"],
    read(settings) {
      const size = settings.object("size");
      const { height, width } = size.sides({ height: 384, width: 384 });
      if (height !== width) size.fail("width", `height, which is ${height}`);
      const pinpoints = readPinpoints(settings.value("image_grid_pinpoints") ?? PINPOINTS, height);
      if (pinpoints !== undefined) return anyres(height, pinpoints);
      return settings.fail("image_grid_pinpoints", `pairs of a height and a width in multiples of ${height}`);
    },
  },
};

/** @param tile pixels along one side */
function anyres(
  tile: number,
  pinpoints: readonly Pinpoint[],
): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  const square = { height: tile, width: tile };
  const areas = pinpoints.map(([height, width]) => height * width);
  return {
    minPixels: Math.min(...areas) + tile ** 2,
    maxPixels: Math.max(...areas) + tile ** 2,
    fit(imageSize) {
      const pinpoint = bestPinpoint(imageSize, pinpoints);
      const [height, width] = pinpoint;
      const resizeTo = fittedSize(imageSize, pinpoint);
      return {
        resizeTo,
        canvas: { height, width },
        // Both sides are padded alike, the last one by what is left over.
        origin: {
          top: -Math.floor((height - resizeTo.height) / 2),
          left: -Math.floor((width - resizeTo.width) / 2),
        },
        tile: square,
        whole: { from: "image", first: true },
        imageSize,
      };
    },
  };
}
