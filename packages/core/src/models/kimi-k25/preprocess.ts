/**
 * The settings of Kimi-K2.5's and Kimi-VL's image processors: images shrink within bounds, keep their aspect ratio, and are
 * padded.
 */
import type { ImageProcessor, ImageProcessorDefaults } from "../../images/image-processor.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";

/** Bounds in patches: of an image, and along each of its sides. */
interface PatchBounds {
  readonly maxPatches: number;
  readonly maxSide: number;
}

/** transformers' Kimi_K25ImageProcessor. */
const CLASS_BOUNDS: PatchBounds = { maxPatches: 16_384, maxSide: 512 };

/** The hub's KimiVLImageProcessor. Its code refuses an image of 512 patches along a side; here it shrinks to them. */
const KIMI_VL_BOUNDS: PatchBounds = { maxPatches: 4096, maxSide: 512 };

const KIMI_CLASS: ImageProcessor = {
  ...QWEN2_VL_IMAGE_CLASS,
  temporalPatchSize: 1,
  patchOrder: "raster",
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  ...bounded(CLASS_BOUNDS, 14),
};

export const KIMI_IMAGES: ImageProcessorDefaults = {
  withoutFile: KIMI_CLASS,
  ofClass: KIMI_CLASS,
  sizes: {
    keys: ["max_patches", "media_proc_cfg"],
    read(settings, { patchSize, imageMean, imageStd }) {
      const size = settings.object("size");
      size.onlyKeys(["max_height", "max_width"]);
      // The hub's file has an object of its own code's names.
      const hub = settings.object("media_proc_cfg");
      const { maxPatches, maxSide } = CLASS_BOUNDS;
      const side = size.positiveInteger(
        "max_height",
        hub.positiveInteger("patch_limit_on_one_side", maxSide),
      );
      if (size.positiveInteger("max_width", side) !== side)
        size.fail("max_width", `max_height, which is ${side}`);
      const patches = settings.positiveInteger(
        "max_patches",
        hub.positiveInteger("in_patch_limit", maxPatches),
      );
      const pixels = settings.patchSize(hub.positiveInteger("patch_size", patchSize));
      return {
        ...bounded({ maxPatches: patches, maxSide: side }, pixels),
        imageMean: hub.channels("image_mean", imageMean),
        imageStd: hub.channels("image_std", imageStd),
      };
    },
  },
};

const KIMI_VL: ImageProcessor = { ...KIMI_CLASS, ...bounded(KIMI_VL_BOUNDS, 14) };

export const KIMI_VL_IMAGES: ImageProcessorDefaults = {
  withoutFile: KIMI_VL,
  ofClass: {
    ...KIMI_VL,
    imageMean: QWEN2_VL_IMAGE_CLASS.imageMean,
    imageStd: QWEN2_VL_IMAGE_CLASS.imageStd,
  },
  sizes: {
    keys: ["in_token_limit", "merge_kernel_size", "pad_input"],
    read(settings, { patchSize, mergeSize }) {
      // Without padding the hub's code crops.
      if (!settings.boolean("pad_input", false)) settings.fail("pad_input", "true");
      const merge = settings.value("merge_kernel_size") ?? [mergeSize, mergeSize];
      if (JSON.stringify(merge) !== JSON.stringify([mergeSize, mergeSize]))
        settings.fail("merge_kernel_size", `[${mergeSize},${mergeSize}]`);
      const { maxPatches, maxSide } = KIMI_VL_BOUNDS;
      return bounded(
        { maxPatches: settings.positiveInteger("in_token_limit", maxPatches), maxSide },
        settings.patchSize(patchSize),
      );
    },
  },
};

/** transformers' navit_resize: the strictest bound decides, nothing grows, and padding fills whole tokens. */
function bounded(
  { maxPatches, maxSide }: PatchBounds,
  pixels: number,
): Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit"> {
  return {
    minPixels: 1,
    maxPixels: maxPatches * pixels ** 2,
    fit({ height, width }: ImageSize, { patchSize, mergeSize }) {
      checkAspectRatio(height, width);
      const patches = (side: number) => Math.max(1, Math.floor(side / patchSize));
      const limit = maxSide * patchSize;
      const scale = Math.min(
        1,
        Math.sqrt(maxPatches / (patches(height) * patches(width))),
        limit / height,
        limit / width,
      );
      const scaled = (side: number) => Math.min(Math.max(1, Math.floor(side * scale)), limit);
      const resizeTo = { height: scaled(height), width: scaled(width) };
      const block = patchSize * mergeSize;
      const whole = (side: number) => Math.ceil(side / block) * block;
      return { resizeTo, canvas: { height: whole(resizeTo.height), width: whole(resizeTo.width) } };
    },
  };
}
