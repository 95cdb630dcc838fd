/**
 * Reads the header of an image by its format. The bytes are untrusted.
 *
 * The readers run in linear time, count their steps, and allocate no more than the file's size. They also write the
 * bytes for the decoder: metadata is cut away, so that no other parser (libexif, XMP, ICC) works on it.
 */
import { VitgraphError } from "@vitgraph/errors";
import { readGif } from "./gif-header.js";
import { detectFormat, formatName, type ImageFormat } from "./image-format.js";
import { HeaderError, type ImageHeader } from "./image-header.js";
import { readJpeg } from "./jpeg-header.js";
import { readPng } from "./png-header.js";
import { readWebp } from "./webp-header.js";

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
