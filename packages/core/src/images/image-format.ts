/**
 * Detects the format of an image by its first bytes, not by its file name. Only the four formats of the first table
 * reach a decoder, although the decoding library supports others (SVG, TIFF, …).
 */
import { VitgraphError } from "@vitgraph/errors";

/** The formats that are decoded. */
export type ImageFormat = "jpeg" | "png" | "webp" | "gif";

interface Signature {
  readonly name: string;
  /** Possible first bytes, in Latin-1, with a dot for any byte; or a pattern for text. */
  readonly starts: readonly string[] | RegExp;
}

const SIGNATURES: Readonly<Record<ImageFormat, Signature>> = {
  jpeg: { name: "JPEG", starts: ["\xff\xd8\xff"] },
  png: { name: "PNG", starts: ["\x89PNG\r\n\x1a\n"] },
  webp: { name: "WebP", starts: ["RIFF....WEBP"] },
  gif: { name: "GIF", starts: ["GIF87a", "GIF89a"] },
};

interface Unsupported extends Signature {
  readonly remedy: string;
}

const CONVERT = "convert it to PNG or JPEG first";
const DECODE = "decode it, and pass the bytes of the image";
const DOWNLOAD = "check the address that it was downloaded from, and whether that needs a login";
const VIDEO = "pass it as { video: bytes }, or to vitgraph encode with --video";
const RENDER = "render it to PNG first";
const UNPACK = "unpack it, and pass the image inside";

/** Unsupported formats that error messages name. The first match counts. */
const UNSUPPORTED: readonly Unsupported[] = [
  { name: "HEIC", starts: /^.{4}ftyp(hei[cxms]|hev[cxms])/s, remedy: CONVERT },
  { name: "AVIF", starts: ["....ftypavif", "....ftypavis"], remedy: CONVERT },
  { name: "HEIF", starts: ["....ftypmif1", "....ftypmsf1"], remedy: CONVERT },
  { name: "MP4 or QuickTime video", starts: ["....ftyp"], remedy: VIDEO },
  { name: "Matroska or WebM video", starts: ["\x1aE\xdf\xa3"], remedy: VIDEO },
  { name: "AVI video", starts: ["RIFF....AVI "], remedy: VIDEO },
  { name: "JPEG XL", starts: ["\xff\x0a", "\0\0\0\x0cJXL "], remedy: CONVERT },
  { name: "JPEG 2000", starts: ["\0\0\0\x0cjP  ", "\xff\x4f\xff\x51"], remedy: CONVERT },
  { name: "BMP", starts: ["BM....\0\0\0\0"], remedy: CONVERT },
  { name: "TIFF", starts: ["II*\0", "MM\0*", "II+\0", "MM\0+"], remedy: CONVERT },
  { name: "ICO", starts: ["\0\0\x01\0", "\0\0\x02\0"], remedy: CONVERT },
  { name: "PSD", starts: ["8BPS"], remedy: CONVERT },
  { name: "QOI", starts: ["qoif"], remedy: CONVERT },
  { name: "DDS", starts: ["DDS "], remedy: CONVERT },
  { name: "OpenEXR", starts: ["v/1\x01"], remedy: CONVERT },
  { name: "PNM", starts: /^P[1-7]\s/, remedy: CONVERT },
  { name: "PDF", starts: ["%PDF-"], remedy: RENDER },
  { name: "gzip data", starts: ["\x1f\x8b"], remedy: UNPACK },
  { name: "ZIP archive", starts: ["PK\x03\x04"], remedy: UNPACK },
  {
    name: "Git LFS pointer",
    starts: ["version https://git-lfs"],
    remedy: "fetch the file with git lfs pull",
  },
  { name: "data URL", starts: /^data:/i, remedy: DECODE },
  {
    name: "URL",
    starts: /^(https?|file|s3|gs):\/\//i,
    remedy: "download it, and pass the bytes of the image",
  },
  { name: "base64 text", starts: ["/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD"], remedy: DECODE },
  { name: "HTML", starts: /^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)/i, remedy: DOWNLOAD },
  { name: "SVG", starts: /^(\xef\xbb\xbf)?\s*(<[?!].*)?<svg\b/s, remedy: RENDER },
  { name: "XML", starts: /^(\xef\xbb\xbf)?\s*<\?xml/, remedy: DOWNLOAD },
  { name: "JSON", starts: /^(\xef\xbb\xbf)?\s*[{[]\s*["{[\]}]/, remedy: DOWNLOAD },
];

/** Signatures are searched in this many bytes: an SVG may begin with a comment. */
const START_BYTES = 256;

/** The supported format with this signature; undefined for any other. */
export function supportedFormat(bytes: Uint8Array): ImageFormat | undefined {
  return supportedStart(startOf(bytes));
}

function startOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, START_BYTES)).toString("latin1");
}

function supportedStart(start: string): ImageFormat | undefined {
  const formats = Object.keys(SIGNATURES) as ImageFormat[];
  return formats.find((format) => matches(start, SIGNATURES[format]));
}

/** @throws VG_IMAGE_INVALID if there are no bytes or the format is unsupported. The error names known formats. */
export function detectFormat(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) {
    throw new VitgraphError("VG_IMAGE_INVALID", "the image has no bytes", {
      remedy: "check that its file was written or downloaded to the end",
      details: { sizeBytes: 0 },
    });
  }
  const start = startOf(bytes);
  const format = supportedStart(start);
  if (format !== undefined) return format;
  const details = { sizeBytes: bytes.length };
  const known = UNSUPPORTED.find((format) => matches(start, format));
  if (known !== undefined) {
    throw new VitgraphError("VG_IMAGE_INVALID", `unsupported image format (${known.name})`, {
      remedy: `${known.remedy}; JPEG, PNG, WebP and GIF are supported`,
      details: { ...details, format: known.name },
    });
  }
  throw new VitgraphError(
    "VG_IMAGE_INVALID",
    `unknown image format: ${bytes.length} bytes that begin with ${quote(bytes)}`,
    { remedy: "pass JPEG, PNG, WebP or GIF", details },
  );
}

function matches(start: string, { starts }: Signature): boolean {
  if (starts instanceof RegExp) return starts.test(start);
  return starts.some((expected) =>
    [...expected].every((character, index) => character === "." || character === start[index]),
  );
}

export function formatName(format: ImageFormat): string {
  return SIGNATURES[format].name;
}

function quote(bytes: Uint8Array): string {
  const start = bytes.subarray(0, 16);
  const printable = start.every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d);
  const rest = bytes.length > start.length ? "…" : "";
  if (printable) return JSON.stringify(Buffer.from(start).toString("latin1") + rest);
  return [...start].map((byte) => byte.toString(16).padStart(2, "0")).join(" ") + rest;
}
