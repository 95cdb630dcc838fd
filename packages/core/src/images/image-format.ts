/**
 * Which format the bytes are in, by their first bytes alone. Only the formats of this table reach a decoder: what a
 * file is called, and what else the decoding library could open (SVG, PDF, TIFF, …), does not count.
 */
import { VitgraphError } from "@vitgraph/errors";

export type ImageFormat = "jpeg" | "png" | "webp" | "gif";

interface Signature {
  /** Latin-1; a dot stands for any byte. */
  readonly start: string;
  readonly name: string;
}

const SIGNATURES: Readonly<Record<ImageFormat, Signature>> = {
  jpeg: { start: "\xff\xd8\xff", name: "JPEG" },
  png: { start: "\x89PNG\r\n\x1a\n", name: "PNG" },
  webp: { start: "RIFF....WEBP", name: "WebP" },
  gif: { start: "GIF8.a", name: "GIF" },
};

/** @throws VG_IMAGE_INVALID for no bytes at all, and for any other format, quoting what the bytes begin with. */
export function detectFormat(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) {
    throw new VitgraphError("VG_IMAGE_INVALID", "the image has no bytes", {
      remedy: "check that its file was written or downloaded to the end",
      details: { sizeBytes: 0 },
    });
  }
  for (const [format, { start }] of Object.entries(SIGNATURES)) {
    if (startsWith(bytes, start)) return format as ImageFormat;
  }
  throw new VitgraphError(
    "VG_IMAGE_INVALID",
    `the bytes are no image that can be read: they begin with ${quote(bytes)}`,
    {
      remedy: "pass JPEG, PNG, WebP or GIF, whatever the file is called",
      details: { sizeBytes: bytes.length },
    },
  );
}

export function formatName(format: ImageFormat): string {
  return SIGNATURES[format].name;
}

function startsWith(bytes: Uint8Array, start: string): boolean {
  return [...start].every(
    (character, index) => character === "." || bytes[index] === character.charCodeAt(0),
  );
}

function quote(bytes: Uint8Array): string {
  const start = bytes.subarray(0, 16);
  const printable = start.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
  const rest = bytes.length > start.length ? "…" : "";
  if (printable) return JSON.stringify(Buffer.from(start).toString("latin1") + rest);
  return [...start].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") + rest;
}
