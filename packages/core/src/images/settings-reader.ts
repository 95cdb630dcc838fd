/**
 * Reads the values of a processor file, such as `preprocessor_config.json`. An unknown key is an error that names the
 * nearest known key, since a misspelt bound would otherwise be ignored.
 */
import { describe, isRecord, nearestKey, shorten, VitgraphError } from "@vitgraph/errors";
import type { ImageSize } from "./smart-resize.js";

export type Settings = Readonly<Record<string, unknown>>;

/** Keys that all families read, in addition to their size keys. */
const READ_SETTINGS: readonly string[] = [
  ...["size", "patch_size", "merge_size", "temporal_patch_size", "resample"],
  ...["image_mean", "image_std", "rescale_factor", "do_resize", "do_rescale", "do_normalize"],
  ...["fps", "min_frames", "max_frames", "do_center_crop"],
];

/** Unsupported steps: a limit on each frame of a clip, and pan-and-scan crops. */
export const UNSUPPORTED_STEPS: readonly string[] = ["cap_pixels_per_frame", "do_pan_and_scan"];

/** Settings without an effect on pixels. Keys that begin with `_` are private to transformers. */
const IGNORED_SETTINGS: readonly string[] = [
  // Class names. The class of a video processor is read elsewhere, before the other settings.
  ...["image_processor_type", "video_processor_type", "feature_extractor_type", "processor_class"],
  ...["auto_map", "transformers_version"],
  // Input and output formats of transformers.
  ...["data_format", "input_data_format", "device", "disable_grouping", "return_tensors", "return_metadata"],
  // Decoding always yields RGB.
  "do_convert_rgb",
  // Parameters of cropping and padding, which must be off.
  ...["crop_size", "do_pad", "pad_size", "default_to_square"],
  // Parameters of pan-and-scan, which must be off.
  ...["pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "pan_and_scan_min_ratio_to_activate"],
  // Parameters of the prompt.
  ...["image_token_id", "image_seq_length", "num_pooled_tokens", "add_start_end_special_tokens"],
  // Copies of config.json's settings.
  ...["process_image_mode", "img_token_compression_config"],
  // Sampling, which the caller controls, and limits of decoders.
  ...[
    "do_sample_frames",
    "num_frames",
    "video_metadata",
    "max_image_size",
    "max_duration",
    "max_video_tokens",
  ],
  // Parameters of the audio processor of Omni checkpoints, in the same file.
  ...["chunk_length", "dither", "feature_size", "hop_length", "n_fft", "n_samples", "nb_max_frames"],
  ...["padding_side", "padding_value", "return_attention_mask", "sampling_rate"],
];

/** Settings that may be null: by default in transformers' classes, or if the step that needs them is off. */
const NULLABLE_SETTINGS: readonly string[] = [
  ...["fps", "num_frames", "min_pixels", "max_pixels", "crop_size"],
  ...["resample", "rescale_factor", "image_mean", "image_std"],
];

/**
 * Reads values from the settings. Absent values become the default; for an invalid value the error names the key.
 *
 * As in transformers, null is not absent: a step whose flag is null is off, and other settings may not be null, except
 * `NULLABLE_SETTINGS`. In an object such as `size`, null is absent.
 */
export class SettingsReader {
  readonly #file: string;
  readonly #values: Settings;
  readonly #path: string;

  constructor(file: string, values: Settings, path = "") {
    this.#file = file;
    this.#values = values;
    this.#path = path;
  }

  positiveInteger(key: string, absent: number, most = Number.MAX_SAFE_INTEGER): number {
    const bound = most === Number.MAX_SAFE_INTEGER ? "" : ` up to ${most}`;
    return this.#read(key, absent, `a positive whole number${bound}`, (value): value is number => {
      return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= most;
    });
  }

  positiveNumber(key: string, absent: number): number {
    return this.#read(key, absent, "a positive number", (value): value is number => {
      return Number.isFinite(value) && (value as number) > 0;
    });
  }

  /** The raw value. */
  value(key: string, absent?: unknown): unknown {
    const value = this.#values[key];
    return value === undefined ? absent : value;
  }

  boolean(key: string, absent: boolean): boolean {
    if (this.#values[key] === null) return false;
    return this.#read(key, absent, "true or false", (value): value is boolean => typeof value === "boolean");
  }

  /** @throws VG_MODEL_INVALID if a setting that the step `step` needs is null */
  notNull(step: string, ...keys: readonly string[]): void {
    for (const key of keys) if (this.#values[key] === null) this.fail(key, `given beside ${step}`);
  }

  /** For steps that the family's processor always does. @throws VG_MODEL_INVALID unless `key` is true or absent */
  onlyTrue(key: string): void {
    if (!this.boolean(key, true)) this.fail(key, "absent or true");
  }

  /** For unsupported steps. @throws VG_MODEL_INVALID if `key` is true */
  onlyFalse(key: string): void {
    if (this.boolean(key, false)) this.fail(key, "absent or false");
  }

  /** One number each for red, green and blue, or one for all three. */
  channels(key: string, absent: readonly number[]): readonly number[] {
    const expected = "three numbers, for red, green and blue";
    const value = this.#read(key, absent, expected, (found): found is number | readonly number[] => {
      return Array.isArray(found)
        ? found.length === 3 && found.every(Number.isFinite)
        : Number.isFinite(found);
    });
    return typeof value === "number" ? [value, value, value] : value;
  }

  /** Like {@link object}, for an object that may be null. */
  objectOrNull(key: string): SettingsReader {
    return this.#values[key] === null
      ? new SettingsReader(this.#file, {}, `${this.#path}${key}.`)
      : this.object(key);
  }

  /** A reader of the object at `key`; if absent, of an empty object. @param ofNumber converts a number to the object */
  object(key: string, ofNumber?: (value: number) => Settings): SettingsReader {
    const given = this.#values[key];
    if (ofNumber && Number.isFinite(given))
      return new SettingsReader(this.#file, ofNumber(given as number), `${this.#path}${key}.`);
    const value = this.#read<Settings>(key, {}, "an object", isRecord);
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

  /** The side of a square, from `height` and `width`. */
  square(absent: number): number {
    const { height, width } = this.sides({ height: absent, width: absent });
    return height === width ? height : this.fail("width", `height, which is ${height}`);
  }

  bothOrNeither(first: string, second: string): void {
    // If one of the two is invalid, its error is more helpful.
    for (const key of [first, second]) this.positiveInteger(key, 1);
    const absent = [first, second].filter((key) => (this.#values[key] ?? null) === null);
    if (absent.length === 1)
      this.fail(absent[0] as string, `given beside ${absent[0] === first ? second : first}`);
  }

  /** @throws VG_MODEL_INVALID if another key has a value */
  onlyKeys(known: readonly string[]): void {
    const unknown = Object.keys(this.#values).find(
      (key) => !known.includes(key) && this.#values[key] !== null,
    );
    if (unknown !== undefined)
      this.fail(unknown, `absent: ${this.#path.slice(0, -1)} has ${known.join(", ")}`);
  }

  /** One number, or an object with two equal numbers. */
  patchSize(absent: number): number {
    const value = this.#values.patch_size;
    if (typeof value !== "object" || value === null) return this.positiveInteger("patch_size", absent);
    const { height, width } = this.object("patch_size").sides({ height: absent, width: absent });
    return height === width ? height : this.fail("patch_size", "a height and a width that are equal");
  }

  /**
   * @param sizes the family's size keys
   * @throws VG_MODEL_INVALID for an unknown key
   */
  onlySettings(sizes: readonly string[]): void {
    const read = [...READ_SETTINGS, ...sizes];
    for (const [key, value] of Object.entries(this.#values)) {
      if (value === null || key.startsWith("_")) continue;
      if ([read, UNSUPPORTED_STEPS, IGNORED_SETTINGS].some((keys) => keys.includes(key))) continue;
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
    if (value === undefined) return absent;
    if (value === null && (this.#path !== "" || NULLABLE_SETTINGS.includes(key))) return absent;
    return accepts(value) ? value : this.fail(key, expected);
  }
}
