/**
 * The settings of transformers' image processors, as in `preprocessor_config.json`: sizes, patches, normalisation. The
 * defaults are in the `preprocess.ts` of each family.
 *
 * This file applies none of them. The encoder's first kernel rescales and normalises, with the constants of
 * `channelScale`.
 */
import type { ResizeFilter } from "@vitgraph/cuda-kernels";
import { describe, VitgraphError } from "@vitgraph/errors";
import type { Grid } from "../item.js";
import { bf16ToF32, f32ToBf16 } from "../numerics.js";
import { type FrameRule, type FrameSampling, LARGEST_MAX_FRAMES } from "../video/sample-frames.js";
import { type Settings, SettingsReader, UNSUPPORTED_STEPS } from "./settings-reader.js";
import type { ImageSize, ResizeBounds } from "./smart-resize.js";

/** How an image is resized, cropped and tiled before it is cut into patches. */
export interface FittedImage {
  /** A size that the image is padded to before any resize, with black at its right and bottom. */
  readonly paddedTo?: ImageSize;
  /** An intermediate size, at which pixels are rounded. */
  readonly via?: ImageSize;
  readonly resizeTo: ImageSize;
  /** The size of the canvas: the resized image cropped, or padded with black. Default: that of the resized image. */
  readonly canvas?: ImageSize;
  /** Position of the canvas in the resized image; negative for padding before the image. Default: 0, 0. */
  readonly origin?: { readonly top: number; readonly left: number };
  /**
   * The tiles that the canvas is cut into, row by row. Each is a frame of the item's grid. Pixels after the last whole
   * patch of a tile are dropped.
   */
  readonly tile?: ImageSize;
  /** A size in whole patches that each tile is resized to after the cut. */
  readonly tileResizedTo?: ImageSize;
  readonly thumbnail?: Thumbnail;
  /** For models whose result depends on the original size of the image. */
  readonly imageSize?: ImageSize;
}

/** A small version of the whole image, in addition to its tiles. */
export interface Thumbnail {
  /** The source of the thumbnail: the image itself, or the resized one. */
  readonly from: "image" | "resized";
  /** As for the image. */
  readonly via?: ImageSize;
  /** The thumbnail has its own grid. Default: it is one more tile. */
  readonly size?: ImageSize;
  /** The thumbnail comes before the tiles. Default: after them. */
  readonly first?: boolean;
}

/** How a family fits an image of this size. @throws VG_IMAGE_ASPECT_RATIO */
export type FitRule = (size: ImageSize, processor: ImageProcessor) => FittedImage;

/** The settings of transformers' image processor, as read from a checkpoint. */
export interface ImageProcessor {
  /** Pixels along one side of a patch. */
  readonly patchSize: number;
  /** Patches along one side of a token. */
  readonly mergeSize: number;
  /** The channels of a pixel are adjacent in an item's rows. Default: channel after channel. */
  readonly channelsLast?: boolean;
  /** The order of an item's rows. Default: merge blocks, see `item.ts`. */
  readonly patchOrder?: "raster";
  /** Frames per patch. */
  readonly temporalPatchSize: number;
  /** Bounds of an image's area after the resize, in pixels. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** The bounds apply to the pixels of all frames of a patch: those of a still count temporalPatchSize times. */
  readonly boundsCoverFrames?: boolean;
  /** The size of every image or tile, for any aspect ratio; absent if the bounds determine it. */
  readonly fixedSize?: ImageSize;
  /** Default: `smartResize` within the bounds. */
  readonly fit?: FitRule;
  /** Output rows of an image's grid. Default: patches / mergeSize². */
  readonly tokensOf?: (grid: Grid, mergeSize: number) => number;
  readonly filter: ResizeFilter;
  /** Red, green and blue, for pixel values from 0 to 1. */
  readonly imageMean: readonly number[];
  readonly imageStd: readonly number[];
  readonly rescaleFactor: number;
  readonly doResize: boolean;
  readonly doRescale: boolean;
  readonly doNormalize: boolean;
  /**
   * The processor rescales and normalises in bfloat16 and rounds each step. No scale and shift reproduce these values,
   * so items hold normalised values. Default: float32, computed by the encoder's first kernel from uint8.
   */
  readonly normalizesIn?: "bf16";
}

/**
 * The settings of a family's video processor, as `video_preprocessor_config.json` holds them. `fps` or `numFrames` give
 * the number of sampled frames if the call does not.
 */
export interface VideoProcessor extends ImageProcessor, FrameSampling {
  /** Size rule for the frames of a clip. Default: `fixedSize`, or `smartResize` within the bounds. */
  readonly fitClip?: (frames: number, size: ImageSize, processor: VideoProcessor) => FittedImage;
  /** Whether `minPixels` and `maxPixels` bound each frame or the frames of a clip together. */
  readonly boundsCover: "frame" | "clip";
  readonly sampling: FrameRule;
  /** Limits on the number of frames when sampling by rate. The second one is finite. */
  readonly minFrames: number;
  readonly maxFrames: number;
  /** Maximum duration in seconds of a clip that is sampled at the rate, for families with this limit. */
  readonly maxDuration?: number;
}

/** Defaults for the images of a family's checkpoints. */
export interface ImageProcessorDefaults {
  /** Without a processor file: the settings of the family's checkpoints on the hub. */
  readonly withoutFile: ImageProcessor;
  /** For a key missing in the file: the value of transformers' class. */
  readonly ofClass: ImageProcessor;
  /** For files with other size keys than bounds on the area. */
  readonly sizes?: SizeSettings;
  /** Keys that transformers' class for the family's images ignores. */
  readonly ignored?: readonly string[];
}

/** Size settings of a family, instead of `min_pixels`, `max_pixels` and `size: {shortest_edge, longest_edge}`. */
export interface SizeSettings {
  /** Keys of the file other than `size`. */
  readonly keys: readonly string[];
  /** @param absent default values */
  read(settings: SettingsReader, absent: ImageProcessor): Partial<VideoProcessor>;
}

/** Upper bound of `min_pixels`: small images are upscaled to that area. */
const MAX_MIN_PIXELS = 2 ** 28;

/** Filters by Pillow's numbers. */
const FILTERS: ReadonlyMap<unknown, ResizeFilter> = new Map([
  [1, "lanczos"],
  [2, "bilinear"],
  [3, "bicubic"],
]);

/**
 * @param settings the content of `preprocessor_config.json`; undefined without a file. Bounds may be `min_pixels` and
 *   `max_pixels`, which take precedence, or `size: {shortest_edge, longest_edge}`
 * @param overrides `min_pixels`, `max_pixels` and `size` that replace the file's
 * @throws VG_MODEL_INVALID naming the unknown key or the invalid value; VG_MODEL_UNSUPPORTED for an unknown filter
 */
export function readImageSettings(
  settings: Settings | undefined,
  { withoutFile, ofClass, sizes, ignored = [] }: ImageProcessorDefaults,
  overrides: Settings = {},
): ImageProcessor {
  const defaults = settings === undefined ? withoutFile : ofClass;
  const used =
    settings && Object.fromEntries(Object.entries(settings).filter(([key]) => !ignored.includes(key)));
  return readSettings("preprocessor_config.json", overridden(used, overrides), defaults, sizes);
}

/**
 * Like {@link readImageSettings}, for `video_preprocessor_config.json`.
 * @param file the name of the file that holds the settings, for messages
 */
export function readVideoSettings(
  settings: Settings | undefined,
  defaults: VideoProcessor,
  overrides: Settings = {},
  file = "video_preprocessor_config.json",
  sizes?: SizeSettings,
): VideoProcessor {
  const own = overridden(videoSettings(settings, defaults), overrides);
  const processor = readSettings(file, own, defaults, sizes);
  const read = new SettingsReader(file, settings ?? {});
  const { minFrames, maxFrames, maxDuration } = processor;
  const most = read.positiveInteger("max_frames", maxFrames, LARGEST_MAX_FRAMES);
  return {
    ...processor,
    ...usualSampling(read, { ...processor, maxFrames: most }),
    minFrames: read.positiveInteger("min_frames", minFrames, LARGEST_MAX_FRAMES),
    maxFrames: most,
    ...(maxDuration !== undefined && { maxDuration: readDuration(read, maxDuration) }),
  };
}

/** The value 0 means no limit. */
function readDuration(read: SettingsReader, absent: number): number {
  if (read.value("max_duration") === 0) return Number.POSITIVE_INFINITY;
  return read.positiveNumber("max_duration", absent);
}

/**
 * Processors that sample by number read `num_frames` or else `fps`; the others read only `fps`. Values of a file take
 * precedence over the defaults.
 */
function usualSampling(
  read: SettingsReader,
  { fps, numFrames, maxFrames, sampling }: VideoProcessor,
): FrameSampling {
  // transformers samples all frames then, up to the limit, where other classes fail.
  if (sampling === "spread" && read.value("fps") === null) read.fail("fps", "a positive number");
  if (numFrames === undefined) return fps === undefined ? {} : { fps: read.positiveNumber("fps", fps) };
  if ((read.value("num_frames") ?? read.value("fps") ?? null) === null)
    return { numFrames: Math.min(numFrames, maxFrames) };
  if ((read.value("num_frames") ?? null) !== null)
    return { numFrames: read.positiveInteger("num_frames", numFrames, maxFrames) };
  return { numFrames: undefined, fps: read.positiveNumber("fps", 1) };
}

/** A processor with bounds on the whole clip reads them only from `size`. */
function videoSettings(
  settings: Settings | undefined,
  { boundsCover }: VideoProcessor,
): Settings | undefined {
  if (settings === undefined || boundsCover === "frame") return settings;
  const { min_pixels, max_pixels, ...rest } = settings;
  return rest;
}

function overridden(settings: Settings | undefined, overrides: Settings): Settings | undefined {
  if (Object.keys(overrides).length === 0) return settings;
  // min_pixels and max_pixels take precedence over size within one file; an override takes precedence over both.
  const { min_pixels, max_pixels, ...rest } = settings ?? {};
  return overrides.size === undefined ? { ...settings, ...overrides } : { ...rest, ...overrides };
}

/** The parameters of `smartResize`. */
export function resizeBounds({ patchSize, mergeSize, minPixels, maxPixels }: ImageProcessor): ResizeBounds {
  return { factor: patchSize * mergeSize, minPixels, maxPixels };
}

/**
 * f32 [channels, 2], scale and shift of each channel: uint8 · scale + shift is transformers' normalised pixel.
 * transformers computes (uint8 - mean · 255) / (std · 255) in f32, with the constants rounded to f32 first; from the
 * same rounded constants the two differ by the rounding of one multiplication and one addition.
 */
export function channelScale(processor: ImageProcessor): Float32Array {
  const { doRescale, doNormalize, rescaleFactor, imageMean, imageStd } = processor;
  const levels = doRescale ? Math.fround(1 / rescaleFactor) : 1;
  return Float32Array.from(
    imageMean.flatMap((mean, channel) => {
      if (!doNormalize) return [doRescale ? rescaleFactor : 1, 0];
      const scaledMean = Math.fround(Math.fround(mean) * levels);
      const scaledStd = Math.fround(Math.fround(imageStd[channel] as number) * levels);
      return [1 / scaledStd, -scaledMean / scaledStd];
    }),
  );
}

/** f32 [channels, 256]: the normalised value of each uint8 level, for {@link ImageProcessor.normalizesIn}. */
export function normalizedLevels({ rescaleFactor, imageMean, imageStd }: ImageProcessor): Float32Array {
  const rounded = (values: readonly number[]) => bf16ToF32(f32ToBf16(Float32Array.from(values)));
  const factor = Math.fround(rescaleFactor);
  const rescaled = rounded(Array.from({ length: 256 }, (_, level) => level * factor));
  return Float32Array.from(
    imageMean.flatMap((mean, channel) => {
      const [shift = 0, scale = 1] = rounded([mean, imageStd[channel] as number]);
      const centred = rounded([...rescaled].map((value) => value - shift));
      return [...rounded([...centred].map((value) => value / scale))];
    }),
  );
}

function readSettings<Processor extends ImageProcessor>(
  file: string,
  settings: Settings | undefined,
  defaults: Processor,
  sizes: SizeSettings = BOUNDED_SIZES,
): Processor {
  if (settings === undefined) return defaults;
  const read = new SettingsReader(file, settings);
  read.onlySettings(sizes.keys);
  // transformers requires the size even if the processor never crops.
  if (read.boolean("do_center_crop", false) && (settings.crop_size ?? null) === null)
    read.fail("crop_size", "given beside do_center_crop");
  for (const step of UNSUPPORTED_STEPS) read.onlyFalse(step);
  const absent = { ...defaults, ...sizes.read(read, defaults) };
  const processor: Processor = {
    ...absent,
    // A family whose size keys have `patch_size` gives it another meaning.
    patchSize: sizes.keys.includes("patch_size") ? absent.patchSize : read.patchSize(absent.patchSize),
    mergeSize: read.positiveInteger("merge_size", absent.mergeSize),
    temporalPatchSize: readTemporalPatch(read, absent.temporalPatchSize),
    filter: filterOf(file, settings.resample, absent.filter),
    imageMean: read.channels("image_mean", absent.imageMean),
    imageStd: read.channels("image_std", absent.imageStd),
    rescaleFactor: read.positiveNumber("rescale_factor", absent.rescaleFactor),
    doResize: read.boolean("do_resize", absent.doResize),
    doRescale: read.boolean("do_rescale", absent.doRescale),
    doNormalize: read.boolean("do_normalize", absent.doNormalize),
  };
  if (processor.doResize) read.notNull("do_resize", "resample");
  if (processor.doRescale) read.notNull("do_rescale", "rescale_factor");
  if (processor.doNormalize) read.notNull("do_normalize", "image_mean", "image_std");
  if (!processor.imageStd.every((std) => std > 0)) read.fail("image_std", "three numbers above zero");
  // Bounds the memory of an upscaled image. min_pixels above max_pixels is valid in transformers.
  if (processor.minPixels > MAX_MIN_PIXELS) read.fail("min_pixels", `at most ${MAX_MIN_PIXELS}`);
  return processor;
}

/** For towers with one frame per patch, a file may contain another value: its class's default, or a chunk's frames. */
function readTemporalPatch(read: SettingsReader, absent: number): number {
  const frames = read.positiveInteger("temporal_patch_size", absent);
  return absent === 1 ? absent : frames;
}

/** The filter of the setting `resample`. */
function filterOf(file: string, resample: unknown, absent: ResizeFilter): ResizeFilter {
  if (resample === undefined || resample === null) return absent;
  const filter = FILTERS.get(resample);
  if (filter !== undefined) return filter;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `${file} asks for resizing with filter ${describe(resample)}`,
    {
      remedy: `vitgraph has ${[...FILTERS].map(([number, name]) => `${number} (${name})`).join(", ")}`,
      details: { file },
    },
  );
}

/** Reads bounds on the area in both forms, or the fixed size of a family. */
export const BOUNDED_SIZES: SizeSettings = {
  keys: ["min_pixels", "max_pixels"],
  read(settings, { minPixels, maxPixels, fixedSize }) {
    // Most classes with bounds have their default in place of null.
    const size = fixedSize === undefined ? settings.objectOrNull("size") : settings.object("size");
    size.onlyKeys(fixedSize === undefined ? BOUNDS : SIDES);
    size.bothOrNeither("shortest_edge", "longest_edge");
    size.bothOrNeither("min_pixels", "max_pixels");
    return {
      minPixels: settings.positiveInteger(
        "min_pixels",
        size.positiveInteger("shortest_edge", size.positiveInteger("min_pixels", minPixels)),
      ),
      maxPixels: settings.positiveInteger(
        "max_pixels",
        size.positiveInteger("longest_edge", size.positiveInteger("max_pixels", maxPixels)),
      ),
      ...(fixedSize === undefined ? {} : { fixedSize: size.sides(fixedSize) }),
    };
  },
};

/** Keys of `size`: for families with bounds on the area, and for families with a fixed size. */
const BOUNDS = ["shortest_edge", "longest_edge", "min_pixels", "max_pixels"];
const SIDES = ["height", "width"];
