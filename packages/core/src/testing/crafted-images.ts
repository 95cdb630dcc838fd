/** Hostile images and metadata for tests and benchmarks of the decoders. */
import { crc32, deflateSync } from "node:zlib";
import type { PngHeader } from "../images/image-header.js";
import { imageDataBytes } from "../images/restore-png.js";

/** A chunk of a PNG: length, name, data, checksum. */
export function pngChunk(name: string, data: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length, 0);
  head.write(name, 4, "latin1");
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(data, crc32(head.subarray(4))));
  return Buffer.concat([head, data, sum]);
}

/**
 * A PNG of zeros: a small file with a large picture.
 * @param cutBytes number of bytes removed from the end of the compressed image data
 */
export function zeroPng(
  header: Pick<PngHeader, "width" | "height" | "bitDepth" | "colourType" | "interlaced">,
  cutBytes = 0,
): Buffer {
  const { width, height, bitDepth, colourType, interlaced } = header;
  const fields = Buffer.alloc(13);
  fields.writeUInt32BE(width, 0);
  fields.writeUInt32BE(height, 4);
  fields.set([bitDepth, colourType, 0, 0, interlaced ? 1 : 0], 8);
  const data = deflateSync(Buffer.alloc(imageDataBytes(header)), { level: 1 });
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    pngChunk("IHDR", fields),
    pngChunk("IDAT", data.subarray(0, data.length - cutBytes)),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

/** A TIFF structure whose directory has `entries` pointers to itself: following them takes quadratic time. */
export function selfPointingExif(entries: number): Buffer {
  const exif = Buffer.alloc(8 + 2 + entries * 12 + 4);
  exif.write("MM\0*\0\0\0\x08", 0, "latin1");
  exif.writeUInt16BE(entries, 8);
  for (let entry = 0; entry < entries; entry++) {
    const at = 10 + entry * 12;
    exif.writeUInt16BE(0x8769, at); // the pointer to the EXIF directory
    exif.writeUInt16BE(4, at + 2);
    exif.writeUInt32BE(1, at + 4);
    exif.writeUInt32BE(8, at + 8);
  }
  return exif;
}
