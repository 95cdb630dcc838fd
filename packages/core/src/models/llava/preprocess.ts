/**
 * Settings of CLIP's image processor: the shorter side is resized to a fixed size, and the centre is cropped to a
 * square.
 */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** transformers' CLIPImageProcessor. */
const CLIP_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  mergeSize: 1,
  temporalPatchSize: 1,
  patchOrder: "raster",
  ...cropped(224, 224),
};

export const LLAVA_IMAGES: ImageProcessorDefaults = {
  withoutFile: { ...CLIP_CLASS, ...cropped(336, 336) },
  ofClass: CLIP_CLASS,
  sizes: {
    keys: [],
    read(settings) {
      // With do_pad, LlavaImageProcessor pads to a square before the resize. CLIPImageProcessor ignores the key.
      if (!String(settings.value("image_processor_type")).startsWith("CLIP")) settings.onlyFalse("do_pad");
      return readCrop(settings);
    },
  },
};

/** Reads the sizes of the resize and of the crop after it. */
export function readCrop(settings: SettingsReader): ReturnType<typeof cropped> {
  // Files of CLIP models have numbers instead of objects.
  const size = settings.object("size", (edge) => ({ shortest_edge: edge }));
  const cropSize = settings.object("crop_size", (side) => ({ height: side, width: side }));
  size.onlyKeys(["shortest_edge"]);
  settings.notNull("do_center_crop", "crop_size");
  const crop = cropSize.square(224);
  for (const step of ["do_resize", "do_center_crop"]) settings.onlyTrue(step);
  const edge = size.positiveInteger("shortest_edge", 224);
  if (edge > 4096) size.fail("shortest_edge", "at most 4096");
  if (crop > edge) cropSize.fail("height", `at most size.shortest_edge, which is ${edge}`);
  return cropped(edge, crop);
}

/** @param edge pixels along the shorter side after the resize. @param crop pixels along both sides after the crop */
export function cropped(
  edge: number,
  crop: number,
): Required<Pick<ImageProcessor, "minPixels" | "maxPixels" | "fixedSize" | "fit">> {
  return {
    fixedSize: { height: crop, width: crop },
    minPixels: crop ** 2,
    maxPixels: crop ** 2,
    fit({ height, width }: ImageSize) {
      checkAspectRatio(height, width);
      const longer = Math.trunc((edge * Math.max(height, width)) / Math.min(height, width));
      const resizeTo = height <= width ? { height: edge, width: longer } : { height: longer, width: edge };
      const before = (side: number) => Math.trunc((side - crop) / 2);
      return {
        resizeTo,
        canvas: { height: crop, width: crop },
        origin: { top: before(resizeTo.height), left: before(resizeTo.width) },
      };
    },
  };
}
