/**
 * Peak memory of decoding an image, from its header.
 *
 * The bytes per pixel were measured (`bench/decode-memory.mjs`); docs/decisions/2026-11-26-images-untrusted.md has the
 * table. For some formats decoders hold the whole picture in memory, for others a few rows.
 */
import type { GifHeader, ImageHeader, JpegHeader, PngHeader, WebpHeader } from "./image-header.js";

/** Buffers independent of the picture's size: rows, windows, thread stacks. */
const BASE_BYTES = 16 << 20;
const RGB_BYTES = 3;

/** Buffers of inflated rows that are not yet garbage-collected while a PNG is repaired. */
const REPAIR_BYTES = 64 << 20;

const PNG_CHANNELS: Readonly<Record<PngHeader["colourType"], number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };

export interface DecodeMemoryOptions {
  /** Whether the pixels will be composited on a background, which needs their alpha. */
  readonly keepsAlpha: boolean;
}

/** @param scans the number of scans of a JPEG */
export function decodeMemoryBytes(
  header: ImageHeader,
  scans: number,
  { keepsAlpha }: DecodeMemoryOptions,
): number {
  const pixels = header.width * header.height;
  const raster = pixels * RGB_BYTES;
  // A rotated or mirrored picture is decoded whole before it is written out.
  const rotated = header.orientation === 1 ? 0 : raster;
  return BASE_BYTES + header.stream.length + raster + rotated + decoderBytes(header, scans, keepsAlpha);
}

function decoderBytes(header: ImageHeader, scans: number, keepsAlpha: boolean): number {
  switch (header.format) {
    case "jpeg":
      return jpegBytes(header, scans);
    case "png":
      return pngBytes(header, keepsAlpha);
    case "webp":
      return webpBytes(header, keepsAlpha);
    case "gif":
      return gifBytes(header);
    default:
      return header satisfies never;
  }
}

function jpegBytes(
  { width, height, components, coefficientBytes, progressive }: JpegHeader,
  scans: number,
): number {
  const coefficients = progressive || scans > 1 ? coefficientBytes : 0;
  // CMYK is converted after decoding, from a copy: three pictures exist then.
  return coefficients + (components === 4 ? 8 * width * height : 0);
}

function pngBytes(
  { width, height, bitDepth, colourType, interlaced }: PngHeader,
  keepsAlpha: boolean,
): number {
  const pixels = width * height;
  const sampleBytes = bitDepth === 16 ? 2 : 1;
  // libpng stores an interlaced picture whole. With 16 bits a channel, up to one more byte per pixel was measured.
  const stored = interlaced ? pixels * PNG_CHANNELS[colourType] * sampleBytes : 0;
  const deep = bitDepth === 16 ? pixels : 0;
  // The RGBA pixels before compositing.
  const alpha = keepsAlpha ? 4 * pixels : 0;
  return stored + deep + alpha + Math.min(2 * pixels, REPAIR_BYTES);
}

/** The decoder's picture and libvips' copy, both RGBA, for lossy and lossless files. */
function webpBytes({ width, height }: WebpHeader, keepsAlpha: boolean): number {
  return width * height * (keepsAlpha ? 10 : 9);
}

function gifBytes({ frame }: GifHeader): number {
  return frame.width * frame.height * 4;
}
