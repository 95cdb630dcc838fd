/**
 * The forms in which callers pass items, from encoded bytes to ready rows, and how each becomes an `EncoderItem`.
 *
 * Opening an item finds its grid without decoding (from an image's header), so that packing, admission and
 * `getItemSpecs` know its size before any work. An item's fields are read once, here. Its memory remains the caller's,
 * who may write to it or transfer it at any time: each step checks it again or works on a copy.
 */
import { types } from "node:util";
import { describe, isRecord, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { type ItemSpec, raceAbort } from "@vitgraph/scheduler";
import {
  type DecodeOptions,
  imageGrid,
  openImage,
  processRaster,
  processVideo,
  type Raster,
  videoGrid,
} from "../images/index.js";
import { checkRaster } from "../images/process.js";
import { checkUnshared, copyGrid, type EncoderItem, type Grid, patchCount } from "../item.js";
import { type LoadedModel, videoProcessorOf } from "../models/load-model.js";
import { itemSpec } from "../models/vision-model.js";
import { checkGridOfModel, checkItemOfModel } from "../runtime/check-item.js";
import { rowsOf } from "../runtime/stage-batch.js";
import { type FrameSampling, openClip } from "../video/index.js";
import { copyBytes } from "./copy-bytes.js";

/** A host's name for an item's content: items of one model with one uuid and one grid have one embedding. */
interface Named {
  readonly uuid?: string;
}

/** The content of a JPEG, PNG, WebP or GIF file. */
export interface ImageBytesItem extends Named {
  readonly image: Uint8Array | ArrayBuffer | Blob;
}

/** Decoded pixels. */
export interface RasterItem extends Named {
  readonly raster: Raster;
}

/** Frames of a video, all of one size, sampled by the caller. */
export interface FramesItem extends Named {
  readonly frames: readonly Raster[];
}

/**
 * The content of a video file. Frames are sampled by `fps` or `numFrames`, or as the model's processor says. Animated
 * GIF and WebP need no decoder; other formats need ffmpeg.
 */
export interface VideoItem extends Named, FrameSampling {
  readonly video: Uint8Array | ArrayBuffer | Blob;
}

/** One image or video as transformers' processor returns it. */
export interface PixelValuesItem extends Named {
  /** [t · h · w, channels · temporal · patch · patch], rescaled and normalised. */
  readonly pixel_values: Float32Array;
  /** Patches along time, height and width. */
  readonly grid_thw: readonly [t: number, h: number, w: number];
}

/**
 * An item's memory is read until the call settles. A caller that writes to it before that changes only its own result;
 * one that transfers or shrinks it gets VG_ITEM_INVALID for the item. Shared memory is refused.
 */
export type EngineItem =
  | ImageBytesItem
  | RasterItem
  | FramesItem
  | VideoItem
  | PixelValuesItem
  | (EncoderItem & Named);

/** An item of known size that can be preprocessed. */
export interface OpenedItem {
  readonly kind: "image" | "raster" | "frames" | "video" | "ready";
  readonly uuid: string | undefined;
  readonly grid: Grid;
  readonly spec: ItemSpec;
  /** Memory that {@link preprocess} takes while it runs, its result included. */
  readonly bytes: number;
  /** Memory of the result. */
  readonly keptBytes: number;
  /** Whether {@link preprocess} takes some ten milliseconds at most. */
  readonly isSmall: boolean;
  /**
   * The item, in memory without references from callers.
   * @param signal stops the work between steps
   * @throws VG_IMAGE_INVALID and other errors of decoding; VG_ITEM_INVALID if the caller's memory has changed
   */
  preprocess(signal: AbortSignal): Promise<EncoderItem>;
  /** For kind `ready`: the item in the caller's memory. Must be checked again when it is used. */
  readonly borrowed?: EncoderItem;
}

export interface OpenItemOptions extends Pick<DecodeOptions, "background"> {
  /** Pixels above which an image is refused. */
  readonly maxPixels: number;
  /** Memory for decoding above which an image is refused, in bytes. */
  readonly maxDecodeBytes: number;
}

/** Pixels of red, green and blue that are copied or resized in some ten milliseconds. */
const SMALL_BYTES = 3 << 20;

/**
 * Weights of a resize for each pixel of the longer side: six taps (lanczos) in float64 and int16. Of images that are a
 * few pixels high they take more memory than the pixels: 1 GB for 2²⁴ × 1.
 */
const RESIZE_WEIGHT_BYTES = 60;

/**
 * Memory and duration class of reading an item's size: the bytes of an encoded image or video, 0 for other items.
 * Reading the header of a small image takes less than a millisecond; for a video, processes are started.
 */
export function headerWork(item: unknown): { readonly bytes: number; readonly isSmall: boolean } {
  const { image, video } = (item ?? {}) as { readonly image?: unknown; readonly video?: unknown };
  const bytes = fileBytes(image ?? video);
  return { bytes, isSmall: isInMemory(image) && bytes <= SMALL_BYTES };
}

/** Reading a Blob can take any time. */
function isInMemory(file: unknown): file is Uint8Array | ArrayBufferLike {
  return types.isUint8Array(file) || types.isAnyArrayBuffer(file);
}

function fileBytes(file: unknown): number {
  if (isInMemory(file)) return file.byteLength;
  // An object that only looks like a Blob can have any size.
  return isBlob(file) && Number.isSafeInteger(file.size) ? Math.max(0, file.size) : 0;
}

/**
 * @param signal cancels reading a Blob or a video file
 * @throws VG_ITEM_INVALID, VG_IMAGE_INVALID, VG_IMAGE_TOO_LARGE, VG_IMAGE_ASPECT_RATIO, VG_VIDEO_INVALID,
 *   VG_VIDEO_DECODER_MISSING, VG_PACKAGE_UNAVAILABLE, VG_ARGUMENT_INVALID
 */
export async function openItem(
  item: EngineItem,
  model: LoadedModel,
  options: OpenItemOptions,
  signal?: AbortSignal,
): Promise<OpenedItem> {
  const kind = kindOf(item);
  const { uuid } = item;
  switch (kind) {
    case "image":
      return openEncoded(uuid, (item as ImageBytesItem).image, model, options, signal);
    case "raster":
      return openRaster(uuid, snapshot("item.raster", (item as RasterItem).raster), model);
    case "frames": {
      const frames = [...(item as FramesItem).frames];
      return openFrames(
        uuid,
        frames.map((frame, index) => snapshot(`item.frames[${index}]`, frame)),
        model,
      );
    }
    case "video":
      return openVideo(uuid, item as VideoItem, model, options, signal);
    case "ready":
      return openReady(uuid, readyItem(item as PixelValuesItem | EncoderItem), model);
  }
}

async function openEncoded(
  uuid: string | undefined,
  image: ImageBytesItem["image"],
  model: LoadedModel,
  limits: OpenItemOptions,
  ends: AbortSignal | undefined,
): Promise<OpenedItem> {
  const read = readerOf("image", image);
  const bytes = await read(ends);
  const header = await openImage(bytes, limits);
  const { height, width } = header;
  const rasterBytes = 3 * height * width;
  const preprocess = async (signal: AbortSignal): Promise<EncoderItem> => {
    const own = await copyBytes(await read(signal));
    // Open the copy: the caller may have changed the bytes after their header was read.
    const opened = await openImage(own, limits);
    if (opened.height !== height || opened.width !== width) {
      throw new VitgraphError(
        "VG_ITEM_INVALID",
        `item.image was of ${width} × ${height} pixels when it was opened, and has ${opened.width} × ${opened.height}`,
        { remedy: "leave its bytes as they are until the call settles" },
      );
    }
    signal.throwIfAborted();
    const raster = await opened.decode();
    signal.throwIfAborted();
    return processRaster(raster, model.processor);
  };
  return opened("image", uuid, imageGrid(header, model.processor), model, {
    // Decoding and resizing do not need their memory at the same time. Resizing holds the pixels twice.
    workBytes:
      bytes.length +
      Math.max(header.decodeBytes, 2 * rasterBytes + RESIZE_WEIGHT_BYTES * Math.max(height, width)),
    isSmall: header.isSmall && isInMemory(image) && bytes.length <= SMALL_BYTES,
    preprocess,
  });
}

function openRaster(uuid: string | undefined, raster: Raster, model: LoadedModel): OpenedItem {
  const { processor } = model;
  checkRaster(raster, "item.raster");
  return opened("raster", uuid, imageGrid(raster, processor), model, {
    workBytes: raster.rgb.length,
    isSmall: raster.rgb.length <= SMALL_BYTES,
    preprocess: async () => {
      checkRaster(raster, "item.raster");
      return processRaster(raster, processor);
    },
  });
}

function openFrames(uuid: string | undefined, frames: readonly Raster[], model: LoadedModel): OpenedItem {
  const videoProcessor = videoProcessorOf(model);
  const [first] = frames;
  if (first === undefined) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "a video has no frames", { remedy: "pass at least one" });
  }
  const check = () => {
    for (const [index, frame] of frames.entries()) checkRaster(frame, `item.frames[${index}]`);
  };
  check();
  return opened("frames", uuid, videoGrid(frames.length, first, videoProcessor), model, {
    workBytes: frames.reduce((sum, { rgb }) => sum + rgb.length, 0),
    isSmall: false,
    preprocess: async () => {
      check();
      return processVideo(frames, videoProcessor);
    },
  });
}

async function openVideo(
  uuid: string | undefined,
  { video, fps, numFrames }: VideoItem,
  model: LoadedModel,
  { maxPixels }: OpenItemOptions,
  signal: AbortSignal | undefined,
): Promise<OpenedItem> {
  const videoProcessor = videoProcessorOf(model);
  const read = readerOf("video", video);
  const open = (bytes: Uint8Array, ends: AbortSignal | undefined) =>
    openClip(bytes, videoProcessor, {
      fps,
      numFrames,
      maxPixels,
      ...(ends === undefined ? {} : { signal: ends }),
    });
  const bytes = await read(signal);
  // Closed at once: waiting items hold no temporary file.
  await using clip = await open(bytes, signal);
  const { grid, decodeBytes } = clip;
  return opened("video", uuid, grid, model, {
    workBytes: bytes.length + decodeBytes,
    isSmall: false,
    preprocess: async (ends) => {
      await using own = await open(await copyBytes(await read(ends)), ends);
      if (own.grid.t === grid.t && own.grid.h === grid.h && own.grid.w === grid.w) return own.decode();
      throw new VitgraphError(
        "VG_ITEM_INVALID",
        "item.video is not the clip that it was when it was opened",
        {
          remedy: "leave its bytes as they are until the call settles",
        },
      );
    },
  });
}

function openReady(uuid: string | undefined, item: EncoderItem, model: LoadedModel): OpenedItem {
  checkItemOfModel(item, model.vision);
  const { byteLength } = rowsOf(item);
  const preprocess = async (): Promise<EncoderItem> => {
    checkItemOfModel(item, model.vision);
    const copy = await copyBytes(rowsOf(item));
    const { format, grid } = item;
    return format === "normalized"
      ? { format, grid, pixelValues: new Float32Array(copy.buffer) }
      : { format, grid, pixels: copy };
  };
  return {
    kind: "ready",
    uuid,
    grid: item.grid,
    spec: itemSpec(model.vision, item.grid),
    bytes: byteLength,
    keptBytes: byteLength,
    isSmall: byteLength <= SMALL_BYTES,
    preprocess,
    borrowed: item,
  };
}

const FORMS =
  "{ image }, { raster }, { frames }, { video }, { pixel_values, grid_thw }, or an EncoderItem with its format";

/** The kind of an item, by the field that only this kind has. @throws VG_ITEM_INVALID */
function kindOf(item: unknown): OpenedItem["kind"] {
  const fields = isRecord(item) ? item : {};
  if ("image" in fields) return "image";
  if ("raster" in fields) return "raster";
  if ("frames" in fields && Array.isArray(fields.frames)) return "frames";
  if ("video" in fields) return "video";
  if ("pixel_values" in fields || "format" in fields) return "ready";
  const isBytes = ArrayBuffer.isView(item) || types.isAnyArrayBuffer(item) || isBlob(item);
  throw new VitgraphError("VG_ITEM_INVALID", `an item is ${describe(item)}`, {
    remedy: isBytes ? "wrap bytes: { image: bytes }" : `pass ${FORMS}`,
  });
}

/**
 * Returns a function that reads the bytes of an image or a video, until the signal aborts.
 * @throws VG_ITEM_INVALID
 */
function readerOf(
  field: "image" | "video",
  file: unknown,
): (signal: AbortSignal | undefined) => Promise<Uint8Array> {
  if (isInMemory(file)) {
    return async () => {
      const bytes = types.isUint8Array(file) ? file : new Uint8Array(file);
      checkUnshared(`item.${field}`, bytes);
      return bytes;
    };
  }
  if (isBlob(file)) {
    return (signal) => readBlob(`item.${field}`, file, signal);
  }
  const noun = field === "image" ? "an image" : "a video";
  throw new VitgraphError("VG_ITEM_INVALID", `item.${field} is ${describe(file)}, not the bytes of ${noun}`, {
    remedy: howToRead(field, file),
  });
}

/** An object that only looks like a Blob can return or throw anything. @throws VG_ITEM_INVALID; the signal's reason */
async function readBlob(name: string, file: Blob, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const remedy = "pass a Blob whose content can still be read, or its bytes";
  let content: unknown;
  try {
    const read = Promise.resolve(file.arrayBuffer());
    content = await (signal === undefined ? read : raceAbort(read, signal));
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw toVitgraphError(cause, "VG_ITEM_INVALID", `${name} cannot be read`, remedy);
  }
  if (types.isArrayBuffer(content)) return new Uint8Array(content);
  throw new VitgraphError("VG_ITEM_INVALID", `${name}.arrayBuffer() returned ${describe(content)}`, {
    remedy,
  });
}

/** Checks methods instead of `instanceof`, which fails for a Blob of another realm or library. */
function isBlob(value: unknown): value is Blob {
  const { arrayBuffer, size } = (value ?? {}) as Partial<Blob>;
  return typeof arrayBuffer === "function" && typeof size === "number";
}

function howToRead(field: "image" | "video", file: unknown): string {
  const address = file instanceof URL ? file.href : file;
  if (typeof address !== "string") return "pass a Uint8Array, an ArrayBuffer or a Blob";
  if (address.startsWith("data:")) {
    return 'decode the data URL: Buffer.from(url.slice(url.indexOf(",") + 1), "base64")';
  }
  if (/^https?:/.test(address)) return `fetch it: { ${field}: await (await fetch(url)).arrayBuffer() }`;
  return `read the file: { ${field}: await readFile(path) }`;
}

/** Copies the fields, which the caller may replace later. @throws VG_ITEM_INVALID */
function snapshot(name: string, raster: unknown): Raster {
  const { height, width, rgb } = (raster ?? {}) as Raster;
  if (types.isUint8Array(rgb)) return { height, width, rgb };
  throw new VitgraphError("VG_ITEM_INVALID", `${name} is ${describe(raster)}`, {
    remedy: "pass { height, width, rgb } with red, green and blue bytes in a Uint8Array",
  });
}

/** Copies the fields, which the caller may replace later. */
function readyItem(item: PixelValuesItem | EncoderItem): EncoderItem {
  if ("pixel_values" in item) {
    const { pixel_values: pixelValues, grid_thw } = item;
    const [t, h, w] = (Array.isArray(grid_thw) ? grid_thw : []) as [number, number, number];
    return { format: "normalized", grid: { t, h, w }, pixelValues };
  }
  const grid = copyGrid(item.grid);
  return item.format === "normalized"
    ? { format: item.format, grid, pixelValues: item.pixelValues }
    : { format: item.format, grid, pixels: item.pixels };
}

function opened(
  kind: OpenedItem["kind"],
  uuid: string | undefined,
  grid: Grid,
  model: LoadedModel,
  {
    workBytes,
    isSmall,
    preprocess,
  }: { readonly workBytes: number } & Pick<OpenedItem, "isSmall" | "preprocess">,
): OpenedItem {
  checkGridOfModel(grid, model.vision);
  const isVideo = kind === "frames" || kind === "video";
  const { patchSize, temporalPatchSize } = model.vision;
  const frames = isVideo ? temporalPatchSize : 1;
  const elementBytes = isVideo || model.processor.normalizesIn === undefined ? 1 : 4;
  const keptBytes = 3 * patchCount(grid) * patchSize ** 2 * frames * elementBytes;
  return {
    kind,
    uuid,
    grid,
    spec: itemSpec(model.vision, grid),
    bytes: workBytes + keptBytes,
    keptBytes,
    // Resize bounds can enlarge a small picture.
    isSmall: isSmall && keptBytes <= SMALL_BYTES,
    preprocess,
  };
}
