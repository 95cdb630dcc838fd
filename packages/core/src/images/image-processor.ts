/**
 * The settings of transformers' image processors, as in `preprocessor_config.json`: sizes, patches, normalisation. The
 * defaults are in the `preprocess.ts` of each family.
 *
 * This file applies none of them. The encoder's first kernel rescales and normalises, with the constants of
 * `channelScale`.
 */
import type { ResizeFilter } from "@vitgraph/cuda-kernels";
import { describe, nearestKey, shorten, VitgraphError } from "@vitgraph/errors";
import type { Grid } from "../item.js";
import { bf16ToF32, f32ToBf16 } from "../numerics.js";
import type { FrameRule, FrameSampling } from "../video/sample-frames.js";
import type { ImageSize, ResizeBounds } from "./smart-resize.js";

/** How an image is resized, cropped and tiled before it is cut into patches. */
export interface FittedImage {
  /** An intermediate size, at which pixels are rounded. */
  readonly via?: ImageSize;
  readonly resizeTo: ImageSize;
  /** The size of the canvas: the resized image cropped, or padded with black. Default: that of the resized image. */
  readonly canvas?: ImageSize;
  /** Where the canvas begins in the resized image, or before it. Default: its upper left. */
  readonly origin?: { readonly top: number; readonly left: number };
  /**
   * The tiles that the canvas is cut into, row by row. Each is a frame of the item's grid. Pixels after the last whole
   * patch of a tile are dropped.
   */
  readonly tile?: ImageSize;
  readonly whole?: WholeImage;
  /** For models whose result depends on the original size of the image. */
  readonly imageSize?: ImageSize;
  /** For models that treat a clip's frames differently from an image's tiles. */
  readonly isClip?: true;
}

/** The thumbnail: the whole image beside its tiles. */
export interface WholeImage {
  /** The source of the thumbnail: the image itself, or the resized one. */
  readonly from: "image" | "resized";
  /** The thumbnail has its own grid. Default: it is one more tile. */
  readonly size?: ImageSize;
  /** The thumbnail comes before the tiles. Default: after them. */
  readonly first?: boolean;
}

/** How a family fits an image of this size. @throws VG_IMAGE_ASPECT_RATIO */
export type FitRule = (size: ImageSize, processor: ImageProcessor) => FittedImage;

export interface ImageProcessor {
  /** Pixels along one side of a patch. */
  readonly patchSize: number;
  /** Patches along one side of a token. */
  readonly mergeSize: number;
  /** The channels of a pixel are adjacent in an item's rows. Default: channel after channel. */
  readonly channelsLast?: boolean;
  /** The order of an item's rows. Default: merge blocks, see `item.ts`. */
  readonly patchOrder?: "raster";
  /** Frames in a patch. */
  readonly temporalPatchSize: number;
  /** Bounds of an image's area after the resize, in pixels. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** The bounds count the pixels of all frames of a patch: those of a still count temporalPatchSize times. */
  readonly boundsCoverFrames?: boolean;
  /** The size of every image or tile, whatever the aspect ratio; absent if the bounds determine it. */
  readonly fixedSize?: ImageSize;
  /** Default: `smartResize` within the bounds. */
  readonly fit?: FitRule;
  /** Rows of the answer for an image's grid. Default: patches / mergeSize². */
  readonly tokensOf?: (grid: Grid, mergeSize: number) => number;
  readonly filter: ResizeFilter;
  /** Red, green, blue, on the scale from 0 to 1. */
  readonly imageMean: readonly number[];
  readonly imageStd: readonly number[];
  readonly rescaleFactor: number;
  readonly doResize: boolean;
  readonly doRescale: boolean;
  readonly doNormalize: boolean;
  /**
   * Pixels are rescaled and normalised in bfloat16, each step rounded: 256 values that no scale and shift give, so items hold
   * them as they are. Default: float32, left to the encoder's first kernel.
   */
  readonly normalizesIn?: "bf16";
}

/**
 * The settings of a family's video processor, as `video_preprocessor_config.json` holds them. `fps` or `numFrames` give
 * the number of sampled frames if the call does not.
 */
export interface VideoProcessor extends ImageProcessor, FrameSampling {
  /** How a family fits the frames of a clip. Default: to `fixedSize`, or `smartResize` within the bounds. */
  readonly fitClip?: (frames: number, size: ImageSize, processor: VideoProcessor) => FittedImage;
  /** Whether `minPixels` and `maxPixels` bound each frame or the frames of a clip together. */
  readonly boundsCover: "frame" | "clip";
  readonly sampling: FrameRule;
  /** Limits on the number of frames that a rate gives. */
  readonly minFrames: number;
  readonly maxFrames: number;
  /** Seconds up to which a clip is sampled at the rate. For families whose rule asks for it. */
  readonly maxDuration?: number;
}

/** Defaults for the images of a family's checkpoints. */
export interface ImageProcessorDefaults {
  /** Without a processor file: the settings of the family's checkpoints on the hub. */
  readonly withoutFile: ImageProcessor;
  /** For a key missing in the file: the value of transformers' class. */
  readonly ofClass: ImageProcessor;
  /** For files that set the size by other keys than bounds on the area. */
  readonly sizes?: SizeSettings;
  /** Keys that transformers' class for the family's images ignores. */
  readonly ignored?: readonly string[];
}

/** A family's own settings of the size, in place of `min_pixels`, `max_pixels` and their `size`. */
export interface SizeSettings {
  /** Keys of the file beside `size`. */
  readonly keys: readonly string[];
  /** @param absent the values of absent keys */
  read(settings: SettingsReader, absent: ImageProcessor): Partial<VideoProcessor>;
}

export type Settings = Readonly<Record<string, unknown>>;

/** Upper bound of `min_pixels`: images are upscaled to at most this size. */
const MAX_MIN_PIXELS = 2 ** 28;

/** Filters by Pillow's numbers. */
const FILTERS: ReadonlyMap<unknown, ResizeFilter> = new Map([
  [1, "lanczos"],
  [2, "bilinear"],
  [3, "bicubic"],
]);

/**
 * @param settings the content of `preprocessor_config.json`; undefined where there is none. Both ways of giving the
 *   bounds are read: `min_pixels` and `max_pixels`, which win, and `size: {shortest_edge, longest_edge}`
 * @param overrides `min_pixels`, `max_pixels` and `size`, in place of the file's
 * @throws VG_MODEL_INVALID naming the unknown key or the invalid value; VG_MODEL_UNSUPPORTED for a filter that vitgraph
 *   does not have
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
 * As {@link readImageSettings}, from the content of `video_preprocessor_config.json`.
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
  return {
    ...processor,
    ...usualSampling(read, processor),
    minFrames: read.positiveInteger("min_frames", minFrames),
    maxFrames: read.positiveInteger("max_frames", maxFrames),
    ...(maxDuration !== undefined && { maxDuration: readDuration(read, maxDuration) }),
  };
}

/** 0 is no limit. */
function readDuration(read: SettingsReader, absent: number): number {
  if (read.value("max_duration") === 0) return Number.POSITIVE_INFINITY;
  return read.positiveNumber("max_duration", absent);
}

/** A number takes precedence over a rate within a file, and either over the defaults. */
function usualSampling(read: SettingsReader, { fps, numFrames }: VideoProcessor): FrameSampling {
  if (numFrames === undefined) return fps === undefined ? {} : { fps: read.positiveNumber("fps", fps) };
  if ((read.value("num_frames") ?? read.value("fps") ?? null) === null) return { numFrames };
  if ((read.value("num_frames") ?? null) !== null)
    return { numFrames: read.positiveInteger("num_frames", numFrames) };
  return { numFrames: undefined, fps: read.positiveNumber("fps", 1) };
}

/** A processor whose bounds cover the whole clip takes them from `size` alone. */
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
  // min_pixels and max_pixels win over size within one file; an override wins over both.
  const { min_pixels, max_pixels, ...rest } = settings ?? {};
  return overrides.size === undefined ? { ...settings, ...overrides } : { ...rest, ...overrides };
}

/** The parameters of `smartResize` in a processor. */
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

/** For {@link ImageProcessor.normalizesIn}: f32 [channels, 256], the normalised value of each uint8. */
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
    patchSize: read.patchSize(absent.patchSize),
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
  if (!processor.imageStd.every((std) => std > 0)) read.fail("image_std", "three numbers above zero");
  // A pixel budget that no decoder would meet; min_pixels above max_pixels is transformers' own arithmetic.
  if (processor.minPixels > MAX_MIN_PIXELS) read.fail("min_pixels", `at most ${MAX_MIN_PIXELS}`);
  return processor;
}

/** If the tower's patches have one frame, a file may still have its class's value, or the frames of a chunk. */
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

/** Bounds on the area in both of their forms, or the one size of a family. */
const BOUNDED_SIZES: SizeSettings = {
  keys: ["min_pixels", "max_pixels"],
  read(settings, { minPixels, maxPixels, fixedSize }) {
    const size = settings.object("size");
    size.bothOrNeither("shortest_edge", "longest_edge");
    size.bothOrNeither("min_pixels", "max_pixels");
    size.onlyKeys(fixedSize === undefined ? BOUNDS : SIDES);
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

/** The keys of `size`, for families whose images have bounds, and for those whose images have one size. */
const BOUNDS = ["shortest_edge", "longest_edge", "min_pixels", "max_pixels"];
const SIDES = ["height", "width"];

const READ_SETTINGS: readonly string[] = [
  ...["size", "patch_size", "merge_size", "temporal_patch_size", "resample"],
  ...["image_mean", "image_std", "rescale_factor", "do_resize", "do_rescale", "do_normalize"],
  ...["fps", "min_frames", "max_frames", "do_center_crop"],
];

/** Steps that vitgraph does not have: a limit on each frame of a clip, and pan-and-scan crops. */
const UNSUPPORTED_STEPS: readonly string[] = ["cap_pixels_per_frame", "do_pan_and_scan"];

/** Settings without an effect on pixels here. Keys that begin with `_` are transformers' private notes. */
const IDLE_SETTINGS: readonly string[] = [
  // Names of classes. A video's is read before the other settings.
  ...["image_processor_type", "video_processor_type", "feature_extractor_type", "processor_class"],
  ...["auto_map", "transformers_version"],
  // Forms of transformers' own input and output.
  ...["data_format", "input_data_format", "device", "disable_grouping", "return_tensors", "return_metadata"],
  // RGB, which decoding always gives.
  "do_convert_rgb",
  // Of cropping and padding, which are off.
  ...["crop_size", "do_pad", "pad_size", "default_to_square"],
  // How pan-and-scan crops, which is off.
  ...["pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "pan_and_scan_min_ratio_to_activate"],
  // Of the prompt.
  ...["image_token_id", "image_seq_length", "num_pooled_tokens"],
  // Sampling by count, which is the caller's, and limits of decoders.
  ...[
    "do_sample_frames",
    "num_frames",
    "video_metadata",
    "max_image_size",
    "max_duration",
    "max_video_tokens",
  ],
  // Of the audio part of Omni checkpoints, which shares the file.
  ...["chunk_length", "dither", "feature_size", "hop_length", "n_fft", "n_samples", "nb_max_frames"],
  ...["padding_side", "padding_value", "return_attention_mask", "sampling_rate"],
];

/** Reads values from the settings: absent and null ones become the default, invalid ones an error naming the key. */
export class SettingsReader {
  readonly #file: string;
  readonly #values: Settings;
  readonly #path: string;

  constructor(file: string, values: Settings, path = "") {
    this.#file = file;
    this.#values = values;
    this.#path = path;
  }

  positiveInteger(key: string, absent: number): number {
    return this.#read(key, absent, "a positive whole number", (value): value is number => {
      return Number.isSafeInteger(value) && (value as number) > 0;
    });
  }

  positiveNumber(key: string, absent: number): number {
    return this.#read(key, absent, "a positive number", (value): value is number => {
      return Number.isFinite(value) && (value as number) > 0;
    });
  }

  /** As the file has it. */
  value(key: string): unknown {
    return this.#values[key];
  }

  boolean(key: string, absent: boolean): boolean {
    return this.#read(key, absent, "true or false", (value): value is boolean => typeof value === "boolean");
  }

  /** For steps that the family's processor always takes. @throws VG_MODEL_INVALID unless `key` is true or absent */
  onlyTrue(key: string): void {
    if (!this.boolean(key, true)) this.fail(key, "absent or true");
  }

  /** For steps that vitgraph does not have. @throws VG_MODEL_INVALID if `key` is true */
  onlyFalse(key: string): void {
    if (this.boolean(key, false)) this.fail(key, "absent or false");
  }

  /** One number for each of red, green and blue, or one for all of them. */
  channels(key: string, absent: readonly number[]): readonly number[] {
    const expected = "three numbers, for red, green and blue";
    const value = this.#read(key, absent, expected, (found): found is number | readonly number[] => {
      return Array.isArray(found)
        ? found.length === 3 && found.every(Number.isFinite)
        : Number.isFinite(found);
    });
    return typeof value === "number" ? [value, value, value] : value;
  }

  /** A reader of the object at `key`, or of an empty one. @param ofNumber the object that a number stands for */
  object(key: string, ofNumber?: (value: number) => Settings): SettingsReader {
    const given = this.#values[key];
    if (ofNumber && Number.isFinite(given))
      return new SettingsReader(this.#file, ofNumber(given as number), `${this.#path}${key}.`);
    const value = this.#read(key, {}, "an object", (found): found is Settings => {
      return typeof found === "object" && !Array.isArray(found);
    });
    return new SettingsReader(this.#file, value, `${this.#path}${key}.`);
  }

  /** `height` and `width`. */
  sides(absent: ImageSize): ImageSize {
    this.bothOrNeither("height", "width");
    return {
      height: this.positiveInteger("height", absent.height),
      width: this.positiveInteger("width", absent.width),
    };
  }

  /** A side of the square that `height` and `width` give. */
  square(absent: number): number {
    const { height, width } = this.sides({ height: absent, width: absent });
    return height === width ? height : this.fail("width", `height, which is ${height}`);
  }

  bothOrNeither(first: string, second: string): void {
    // A wrong value of the one that is there is the better message.
    for (const key of [first, second]) this.positiveInteger(key, 1);
    const absent = [first, second].filter((key) => (this.#values[key] ?? null) === null);
    if (absent.length === 1)
      this.fail(absent[0] as string, `given beside ${absent[0] === first ? second : first}`);
  }

  /** @throws VG_MODEL_INVALID for a key with a value that is not one of these */
  onlyKeys(known: readonly string[]): void {
    const unknown = Object.keys(this.#values).find(
      (key) => !known.includes(key) && this.#values[key] !== null,
    );
    if (unknown !== undefined)
      this.fail(unknown, `absent: ${this.#path.slice(0, -1)} has ${known.join(", ")}`);
  }

  /** One number, or an object of two equal ones. */
  patchSize(absent: number): number {
    const value = this.#values.patch_size;
    if (typeof value !== "object" || value === null) return this.positiveInteger("patch_size", absent);
    const { height, width } = this.object("patch_size").sides({ height: absent, width: absent });
    return height === width ? height : this.fail("patch_size", "a height and a width that are equal");
  }

  /**
   * @param sizes keys of the size
   * @throws VG_MODEL_INVALID for a key that processor files do not have
   */
  onlySettings(sizes: readonly string[]): void {
    const read = [...READ_SETTINGS, ...sizes];
    for (const [key, value] of Object.entries(this.#values)) {
      if (value === null || key.startsWith("_")) continue;
      if ([read, UNSUPPORTED_STEPS, IDLE_SETTINGS].some((keys) => keys.includes(key))) continue;
      const nearest = nearestKey(key, read);
      throw new VitgraphError("VG_MODEL_INVALID", `${this.#file} has the unknown key ${describe(key)}`, {
        remedy: nearest === undefined ? "remove it" : `did you mean "${nearest}"?`,
        details: { file: this.#file },
      });
    }
  }

  fail(key: string, expected: string): never {
    const path = this.#path + key;
    const value = this.#values[key];
    throw new VitgraphError(
      "VG_MODEL_INVALID",
      `${this.#file} has ${path} = ${shorten(JSON.stringify(value) ?? "undefined")}`,
      {
        remedy: `it must be ${expected}`,
        details: { file: this.#file, key: path },
      },
    );
  }

  #read<T>(key: string, absent: T, expected: string, accepts: (value: unknown) => value is T): T {
    const value = this.#values[key];
    if (value === undefined || value === null) return absent;
    return accepts(value) ? value : this.fail(key, expected);
  }
}
