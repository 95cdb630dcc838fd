/**
 * Image bytes → the pixels that transformers loads: Pillow's `convert("RGB")` after `exif_transpose`.
 *
 * The result differs from what a viewer shows: colour profiles are ignored, and alpha is dropped without blending, so a
 * transparent pixel has the colour stored under it. All limits are checked from the header, on a copy of the bytes,
 * before pixel memory is allocated.
 */
import { types } from "node:util";
import { cmykToRgb } from "@vitgraph/cuda-kernels";
import { describe, VitgraphError } from "@vitgraph/errors";
import type { Sharp, SharpOptions } from "sharp";
import { Semaphore } from "../runtime/semaphore.js";
import { compositeOver } from "./composite.js";
import { decodeMemoryBytes } from "./decode-memory.js";
import type { ImageFormat } from "./image-format.js";
import type { ImageHeader } from "./image-header.js";
import { countScans } from "./jpeg-header.js";
import { loadSharp, type SharpModule } from "./load-sharp.js";
import { type Orientation, uprightSize } from "./orientation.js";
import { damaged, readHeader } from "./read-header.js";
import { restorePng } from "./restore-png.js";
import type { ImageSize } from "./smart-resize.js";

/** Decoded pixels, 8 bits a channel. */
export interface Raster extends ImageSize {
  /** `[height, width, 3]`: red, green, blue. */
  readonly rgb: Uint8Array;
}

/** An image whose header was read and found within the limits. */
export interface OpenedImage extends ImageSize {
  readonly format: ImageFormat;
  /** Upper bound of `decode`'s peak memory, estimated from the header. Includes the returned pixels. */
  readonly decodeBytes: number;
  /** Whether decoding takes at most about ten milliseconds, estimated from the header. */
  readonly isSmall: boolean;
  /**
   * @throws VG_IMAGE_INVALID if the data after the header is truncated or damaged; VG_PACKAGE_UNAVAILABLE without sharp
   */
  decode(): Promise<Raster>;
}

/** Limits of decoding, and the background of transparent pixels. */
export interface DecodeOptions {
  /** Pixels above which an image is refused. Default 178 956 970, Pillow's. */
  readonly maxPixels?: number;
  /** Memory for decoding above which an image is refused, in bytes. Default 1 GiB. */
  readonly maxDecodeBytes?: number;
  /**
   * Red, green and blue, 0 to 255 each, under the pixels of an image with an alpha channel (vLLM's
   * `rgba_background_color`). Default: alpha is dropped, as in transformers. As in vLLM, it applies to images that
   * Pillow opens in mode RGBA: not to 8-bit grey images with alpha, nor to palettes with transparent colours.
   */
  readonly background?: readonly [red: number, green: number, blue: number];
}

/** Pillow refuses larger images as decompression bombs: half a gigabyte of RGB. */
export const DEFAULT_MAX_PIXELS = 178_956_970;

/** 1 GiB: enough for the largest baseline JPEG or plain PNG, a progressive JPEG of 100 megapixels, a WebP of 87. */
export const DEFAULT_MAX_DECODE_BYTES = 1 << 30;

/** Pixels of a JPEG in all of its scans, over `maxPixels`. A scan is a pass over all coefficients; 10 are usual. */
const MAX_SCANNED_RATIO = 16;

/**
 * Larger images are decoded on all but one of libuv's threads, so that a batch of them delays neither small images nor
 * other work of the process, such as reading a file.
 */
const SMALL_PIXELS = 1 << 20;
/** Pixels in all scans of a small JPEG: 16 scans of the size above. */
const SMALL_SCANNED_PIXELS = 16 * SMALL_PIXELS;
const largeDecodes = new Semaphore(Math.max(1, (Number(process.env.UV_THREADPOOL_SIZE) || 4) - 1));

const SHARP_OPTIONS: SharpOptions = {
  autoOrient: false,
  ignoreIcc: true,
  // Refuses truncated and damaged files. Accepts deviations that Pillow accepts too, such as JPEG data that ends early.
  failOn: "error",
  // Limits are checked by vitgraph, for its own error messages.
  limitInputPixels: false,
};

/**
 * Reads an image's header. Height and width are those of the upright image: an orientation of ±90° exchanges them.
 * `bytes` are copied before the function returns, so they may change at once.
 * @throws VG_IMAGE_INVALID, VG_IMAGE_TOO_LARGE, VG_ARGUMENT_INVALID
 */
export async function openImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<OpenedImage> {
  const { maxPixels = DEFAULT_MAX_PIXELS, maxDecodeBytes = DEFAULT_MAX_DECODE_BYTES, background } = options;
  checkBytes(bytes);
  checkLimits({ maxPixels, maxDecodeBytes });
  checkBackground(background);
  const sizeBytes = bytes.length;
  // Another thread may write to shared memory while the parsers read it.
  const header = readHeader(types.isSharedArrayBuffer(bytes.buffer) ? new Uint8Array(bytes) : bytes);
  checkPixels(header, maxPixels);
  const scans = await checkScans(header, maxPixels);
  const decodeBytes = decodeMemoryBytes(header, scans, { keepsAlpha: background !== undefined });
  checkDecodeBytes(header, decodeBytes, maxDecodeBytes);
  const { format, orientation } = header;
  const { width, height } = uprightSize(header, orientation);
  const pixels = width * height;
  const isSmall = pixels <= SMALL_PIXELS && pixels * scans <= SMALL_SCANNED_PIXELS;
  const decode = async (): Promise<Raster> => {
    const sharp = await loadSharp();
    using _slot = isSmall ? undefined : await largeDecodes.acquire();
    const rgb = await decodePixels(sharp, header, background).catch((cause) => {
      throw damaged(format, sizeBytes, cause);
    });
    return { height, width, rgb };
  };
  return { format, height, width, decodeBytes, isSmall, decode };
}

/**
 * The pixels of a JPEG, PNG, WebP or GIF (of an animation, the first frame).
 *
 * Grey becomes red = green = blue. 16-bit grey is clipped at 255; other 16-bit channels keep the high byte.
 * CMYK is converted by Pillow's formula.
 * @throws VG_IMAGE_INVALID for another format and for a truncated or damaged image; VG_IMAGE_TOO_LARGE;
 *   VG_ARGUMENT_INVALID; VG_PACKAGE_UNAVAILABLE without sharp
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<Raster> {
  const image = await openImage(bytes, options);
  return image.decode();
}

interface Pixels extends ImageSize {
  readonly data: Uint8Array;
  readonly channels: number;
}

/** [height, width, 3] of the upright image. */
async function decodePixels(
  sharp: SharpModule,
  header: ImageHeader,
  background: DecodeOptions["background"],
): Promise<Uint8Array> {
  const composited = background !== undefined && hasAlpha(header);
  const decode = async (stream: Uint8Array) => {
    const pipeline = orient(pipelineOf(sharp, header, stream), header.orientation);
    return raw(composited ? pipeline : pipeline.removeAlpha());
  };
  const pixels = await decode(header.stream).catch(async (error) => {
    if (header.format !== "png") throw error;
    return decode(await restorePng(header));
  });
  checkPixelsOf(header, pixels);
  if (composited && pixels.channels === 4) return compositeOver(pixels.data, background);
  if (pixels.channels === 4) return cmykToRgb(pixels.data);
  if (pixels.channels === 1) return greyToRgb(sharp, pixels);
  return pixels.data;
}

/** Whether Pillow opens the image in mode RGBA. For WebP the decoder decides. */
function hasAlpha(header: ImageHeader): boolean {
  if (header.format === "webp") return true;
  if (header.format !== "png") return false;
  return header.colourType === 6 || (header.colourType === 4 && header.bitDepth === 16);
}

function pipelineOf(sharp: SharpModule, header: ImageHeader, stream: Uint8Array): Sharp {
  const image = sharp(stream, SHARP_OPTIONS);
  switch (header.format) {
    case "jpeg":
      // Set both ends of the pipeline; otherwise libvips converts through its default colour profile.
      return header.components === 4 ? image.pipelineColourspace("cmyk").toColourspace("cmyk") : image;
    case "png":
      // In the colour space grey16, the cast to 8 bits clips; in others it takes the high byte.
      return header.bitDepth === 16 && header.colourType === 0 ? image.toColourspace("grey16") : image;
    case "gif": {
      const { width, height, frame, background } = header;
      const [r, g, b] = background;
      return image.extend({
        left: frame.left,
        top: frame.top,
        right: width - frame.left - frame.width,
        bottom: height - frame.top - frame.height,
        background: { r, g, b },
      });
    }
    case "webp":
      return image;
    default:
      return header satisfies never;
  }
}

/** Operations by EXIF orientation. sharp mirrors before it rotates. */
const ORIENT: Readonly<Record<Orientation, (image: Sharp) => Sharp>> = {
  1: (image) => image,
  2: (image) => image.flop(),
  3: (image) => image.flip().flop(),
  4: (image) => image.flip(),
  5: (image) => image.flip().rotate(90),
  6: (image) => image.rotate(90),
  7: (image) => image.flop().rotate(90),
  8: (image) => image.rotate(270),
};

function orient(image: Sharp, orientation: Orientation): Sharp {
  return ORIENT[orientation](image);
}

async function raw(image: Sharp): Promise<Pixels> {
  const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height, channels };
}

async function greyToRgb(sharp: SharpModule, { data, width, height }: Pixels): Promise<Uint8Array> {
  const grey = sharp(data, { raw: { width, height, channels: 1 }, limitInputPixels: false });
  return (await raw(grey.toColourspace("srgb"))).data;
}

/** The decoder parses the header independently. A raster of another size would be read out of bounds. */
function checkPixelsOf(header: ImageHeader, { data, width, height, channels }: Pixels): void {
  const upright = uprightSize(header, header.orientation);
  if (upright.width === width && upright.height === height && data.length === width * height * channels)
    return;
  throw new Error(
    `${upright.width} × ${upright.height} pixels in its header, ${width} × ${height} in its data`,
  );
}

function checkBytes(bytes: unknown): void {
  if (types.isUint8Array(bytes)) return;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `the image is ${describe(bytes)}, not bytes`, {
    remedy: "pass the content of its file as a Uint8Array",
  });
}

function checkLimits(limits: Readonly<Record<string, number>>): void {
  for (const [name, limit] of Object.entries(limits)) {
    if (limit > 0) continue;
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is ${limit}`, {
      remedy: "give a positive number; Infinity takes the limit away",
      details: { [name]: limit },
    });
  }
}

function checkBackground(background: unknown): void {
  if (background === undefined) return;
  const isColour = (level: unknown) =>
    Number.isInteger(level) && (level as number) >= 0 && (level as number) <= 255;
  if (Array.isArray(background) && background.length === 3 && background.every(isColour)) return;
  throw new VitgraphError("VG_ARGUMENT_INVALID", "background is not a colour", {
    remedy: "give red, green and blue from 0 to 255, such as [255, 255, 255]",
    details: { background },
  });
}

function checkPixels({ width, height }: ImageSize, maxPixels: number): void {
  if (width * height <= maxPixels) return;
  throw new VitgraphError(
    "VG_IMAGE_TOO_LARGE",
    `image of ${width} × ${height} pixels is above the limit of ${maxPixels} pixels`,
    {
      remedy: "make it smaller, or raise maxPixels if its source is trusted",
      details: { width, height, maxPixels },
    },
  );
}

/** @returns the scans of a JPEG, 1 for the other formats */
async function checkScans(header: ImageHeader, maxPixels: number): Promise<number> {
  if (header.format !== "jpeg") return 1;
  const { width, height, stream } = header;
  const maxScans = Math.floor((maxPixels * MAX_SCANNED_RATIO) / (width * height));
  const scans = await countScans(stream, maxScans);
  if (scans <= maxScans) return scans;
  throw new VitgraphError(
    "VG_IMAGE_TOO_LARGE",
    `JPEG image of ${width} × ${height} pixels has more than ${maxScans} scans`,
    {
      remedy: "save it again as a baseline JPEG, or raise maxPixels if its source is trusted",
      details: { width, height, maxScans, maxPixels },
    },
  );
}

function checkDecodeBytes(
  { width, height, format }: ImageHeader,
  decodeBytes: number,
  maxDecodeBytes: number,
) {
  if (decodeBytes <= maxDecodeBytes) return;
  throw new VitgraphError(
    "VG_IMAGE_TOO_LARGE",
    `decoding this ${format} image of ${width} × ${height} pixels takes ${mib(decodeBytes)}, above the limit of ${mib(maxDecodeBytes)}`,
    {
      remedy: "make it smaller, save it without interlacing or progressive scans, or raise maxDecodeBytes",
      details: { width, height, format, decodeBytes, maxDecodeBytes },
    },
  );
}

function mib(sizeBytes: number): string {
  return `${Math.ceil(sizeBytes / 2 ** 20)} MiB`;
}
