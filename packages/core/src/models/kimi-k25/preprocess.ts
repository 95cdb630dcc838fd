/**
 * Settings of Kimi-K2.5's and Kimi-VL's processors: images, and each frame of a clip, are scaled down to fit the
 * bounds, keep their aspect ratio, and are padded to whole tokens.
 */
import type {
  ImageProcessor,
  ImageProcessorDefaults,
  SizeSettings,
  VideoProcessor,
} from "../../images/image-processor.js";
import type { SettingsReader } from "../../images/settings-reader.js";
import { checkAspectRatio, type ImageSize } from "../../images/smart-resize.js";
import { USUAL_MAX_FRAMES } from "../../video/sample-frames.js";
import { QWEN2_VL_IMAGE_CLASS } from "../qwen2-vl/preprocess.js";
import { CHUNK_FRAMES } from "./layout.js";

/** Maximum number of patches of an image, and along each side. */
interface PatchBounds {
  readonly maxPatches: number;
  readonly maxSide: number;
}

/** transformers' Kimi_K25ImageProcessor. */
const CLASS_BOUNDS: PatchBounds = { maxPatches: 16_384, maxSide: 512 };

/** transformers' Kimi_K25VideoProcessor, for each frame. */
const FRAME_BOUNDS: PatchBounds = { maxPatches: 4096, maxSide: 512 };

/** The hub's KimiVLImageProcessor. It refuses images of 512 patches or more along a side; vitgraph scales them down. */
const KIMI_VL_BOUNDS: PatchBounds = { maxPatches: 4096, maxSide: 512 };

const SIZE_KEYS = ["max_patches", "media_proc_cfg"];

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
    keys: SIZE_KEYS,
    read(settings, absent) {
      const hub = settings.object("media_proc_cfg");
      return readSizes(settings, absent, hub.positiveInteger("in_patch_limit", CLASS_BOUNDS.maxPatches));
    },
  },
};

/** transformers' Kimi_K25VideoProcessor. */
export const KIMI_VIDEOS: VideoProcessor = {
  ...KIMI_CLASS,
  ...boundedFrames(FRAME_BOUNDS, 14),
  boundsCover: "frame",
  sampling: "stride",
  fps: 2,
  minFrames: 1,
  maxFrames: USUAL_MAX_FRAMES,
};

export const KIMI_VIDEO_SIZES: SizeSettings = {
  keys: SIZE_KEYS,
  read(settings, absent) {
    const hub = settings.object("media_proc_cfg");
    for (const [file, key] of [
      [settings, "temporal_patch_size"],
      [hub, "temporal_merge_kernel_size"],
    ] as const)
      if (file.positiveInteger(key, CHUNK_FRAMES) !== CHUNK_FRAMES) file.fail(key, `${CHUNK_FRAMES}`);
    // No published model sets these.
    for (const key of ["in_patch_limit_video", "max_num_frames_each_video"])
      if ((hub.value(key) ?? null) !== null) hub.fail(key, "null");
    const ofImages = hub.positiveInteger("in_patch_limit", FRAME_BOUNDS.maxPatches);
    const maxPatches = hub.positiveInteger("in_patch_limit_each_frame", ofImages);
    return {
      ...readSizes(settings, absent, maxPatches),
      fps: hub.positiveNumber("sample_fps", KIMI_VIDEOS.fps as number),
    };
  },
};

/** The hub's file has other key names, in the object `media_proc_cfg`. @param maxPatches default of `max_patches` */
function readSizes(
  settings: SettingsReader,
  { patchSize, imageMean, imageStd }: ImageProcessor,
  maxPatches: number,
): Partial<VideoProcessor> {
  const size = settings.object("size");
  size.onlyKeys(["max_height", "max_width"]);
  const hub = settings.object("media_proc_cfg");
  const maxSide = size.positiveInteger(
    "max_height",
    hub.positiveInteger("patch_limit_on_one_side", CLASS_BOUNDS.maxSide),
  );
  if (size.positiveInteger("max_width", maxSide) !== maxSide)
    size.fail("max_width", `max_height, which is ${maxSide}`);
  const bounds = { maxPatches: settings.positiveInteger("max_patches", maxPatches), maxSide };
  return {
    ...boundedFrames(bounds, settings.patchSize(hub.positiveInteger("patch_size", patchSize))),
    imageMean: hub.channels("image_mean", imageMean),
    imageStd: hub.channels("image_std", imageStd),
  };
}

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
      const merge = settings.value("merge_kernel_size", [mergeSize, mergeSize]);
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

/** Like {@link bounded}, for images and for each frame of a clip. */
function boundedFrames(bounds: PatchBounds, pixels: number) {
  const settings = bounded(bounds, pixels);
  const fitClip: VideoProcessor["fitClip"] = (_frames, size, processor) => settings.fit(size, processor);
  return { ...settings, fitClip };
}

/** transformers' navit_resize: scales down to the strictest bound, never up, and pads to whole tokens. */
function bounded(
  { maxPatches, maxSide }: PatchBounds,
  pixels: number,
): Required<Pick<ImageProcessor, "minPixels" | "maxPixels" | "fit">> {
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
