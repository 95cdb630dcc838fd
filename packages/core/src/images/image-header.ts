/**
 * Facts about an image that its bytes tell before anything is decoded, read by parsers for untrusted bytes.
 *
 * The parsers run in linear time, count their steps, and allocate no more than the file's size. They also make the
 * byte stream for the decoder: metadata is cut away, so that no other parser (libexif, XMP, ICC) works on it.
 */
import { VitgraphError } from "@vitgraph/errors";
import { readGif } from "./gif-header.js";
import { detectFormat, formatName, type ImageFormat } from "./image-format.js";
import { readJpeg } from "./jpeg-header.js";
import type { Orientation } from "./orientation.js";
import { readPng } from "./png-header.js";
import type { ImageSize } from "./smart-resize.js";
import { readWebp } from "./webp-header.js";

interface CommonHeader extends ImageSize {
  /** As stored: before the orientation is applied. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
  /** The file for the decoder: a copy, without metadata. */
  readonly stream: Uint8Array;
}

export interface JpegHeader extends CommonHeader {
  readonly format: "jpeg";
  /** 1 for grey, 3 for colour, 4 for CMYK. */
  readonly components: 1 | 3 | 4;
  /** DCT coefficients in memory if the picture comes in more than one scan. */
  readonly coefficientBytes: number;
  /** The picture's data comes in several passes; `scansIn` counts them. */
  readonly progressive: boolean;
}

export interface PngHeader extends CommonHeader {
  readonly format: "png";
  readonly bitDepth: 1 | 2 | 4 | 8 | 16;
  /** 0 grey, 2 colour, 3 palette, 4 grey with alpha, 6 colour with alpha. */
  readonly colourType: 0 | 2 | 3 | 4 | 6;
  readonly interlaced: boolean;
}

export interface WebpHeader extends CommonHeader {
  readonly format: "webp";
}

export interface GifHeader extends CommonHeader {
  readonly format: "gif";
  /** Of the first frame within the screen, in pixels. The stream holds this frame alone. */
  readonly frame: ImageSize & { readonly left: number; readonly top: number };
  /** Colour of the pixels that the frame does not cover: red, green, blue. */
  readonly background: readonly [number, number, number];
}

export type ImageHeader = JpegHeader | PngHeader | WebpHeader | GifHeader;

const READERS: { readonly [F in ImageFormat]: (bytes: Uint8Array) => ImageHeader } = {
  jpeg: readJpeg,
  png: readPng,
  webp: readWebp,
  gif: readGif,
};

/** @throws VG_IMAGE_INVALID */
export function readHeader(bytes: Uint8Array): ImageHeader {
  const format = detectFormat(bytes);
  try {
    const header = READERS[format](bytes);
    if (header.width > 0 && header.height > 0) return header;
    throw new HeaderError(`its size is ${header.width} × ${header.height}`);
  } catch (cause) {
    if (!(cause instanceof HeaderError)) throw cause;
    throw damaged(format, bytes.length, cause);
  }
}

/** A parser's reason to refuse the file. {@link readHeader} adds format and size. */
export class HeaderError extends Error {}

/** @param sizeBytes of the whole file */
export function damaged(format: ImageFormat, sizeBytes: number, cause: unknown): VitgraphError {
  const message = cause instanceof Error ? cause.message : String(cause);
  const reason = message.replace(/^Input buffer has corrupt header: */, "").split("\n")[0];
  return new VitgraphError(
    "VG_IMAGE_INVALID",
    `${formatName(format)} image of ${sizeBytes} bytes is truncated or damaged${reason ? ` (${reason.slice(0, 200)})` : ""}`,
    { remedy: "copy or download it again", details: { format, sizeBytes }, cause },
  );
}

/** Counts the steps of a parser, so that a file of tiny parts is refused soon. */
export class StepCounter {
  #left: number;
  readonly #what: string;

  /** @param what the parts in the plural, such as "chunks" */
  constructor(limit: number, what: string) {
    this.#left = limit;
    this.#what = what;
  }

  count(): void {
    this.#left -= 1;
    if (this.#left < 0) throw new HeaderError(`too many ${this.#what}`);
  }
}
