/** An image's properties as read from its header, and code shared by the readers of all formats. */
import type { Orientation } from "./orientation.js";
import type { ImageSize } from "./smart-resize.js";

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
  /** The picture's data comes in several passes; `countScans` counts them. */
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

/** Why a parser rejects the file. {@link readHeader} adds format and size. */
export class HeaderError extends Error {}

/** Counts a parser's steps, so that a file of many tiny parts is rejected early. */
export class StepCounter {
  #left: number;
  readonly #parts: string;

  /** @param parts their name in the plural, such as "chunks" */
  constructor(limit: number, parts: string) {
    this.#left = limit;
    this.#parts = parts;
  }

  count(): void {
    this.#left -= 1;
    if (this.#left < 0) throw new HeaderError(`too many ${this.#parts}`);
  }
}
