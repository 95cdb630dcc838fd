/** An image's properties as read from its header, and code shared by the readers of all formats. */
import type { Orientation } from "./orientation.js";
import type { ImageSize } from "./smart-resize.js";

interface CommonHeader extends ImageSize {
  /** Stored size, before the orientation is applied. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
  /** A copy of the file for the decoder, without metadata. */
  readonly stream: Uint8Array;
}

export interface JpegHeader extends CommonHeader {
  readonly format: "jpeg";
  /** 1 for grey, 3 for colour, 4 for CMYK. */
  readonly components: 1 | 3 | 4;
  /** Memory of the DCT coefficients, which the decoder keeps if the picture has more than one scan. */
  readonly coefficientBytes: number;
  /** The picture may have several scans; `countScans` counts them. */
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
  /** Size and position of the first frame on the screen, in pixels. The stream contains only this frame. */
  readonly frame: ImageSize & { readonly left: number; readonly top: number };
  /** Colour of the pixels outside the frame: red, green, blue. */
  readonly background: readonly [number, number, number];
}

export type ImageHeader = JpegHeader | PngHeader | WebpHeader | GifHeader;

/** A parser's reason for rejecting the file. {@link readHeader} adds format and size. */
export class HeaderError extends Error {}

/** Counts a parser's steps, to reject a file with too many parts early. */
export class StepCounter {
  #left: number;
  readonly #parts: string;

  /** @param parts plural noun for messages, such as "chunks" */
  constructor(limit: number, parts: string) {
    this.#left = limit;
    this.#parts = parts;
  }

  count(): void {
    this.#left -= 1;
    if (this.#left < 0) throw new HeaderError(`too many ${this.#parts}`);
  }
}
