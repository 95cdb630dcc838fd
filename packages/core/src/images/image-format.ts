/**
 * The format of an image by its first bytes. Only the four formats of the first table reach a decoder; the name of the
 * file does not matter, nor do the other formats that the decoding library can open (SVG, TIFF, …).
 */
import { VitgraphError } from "@vitgraph/errors";

export type ImageFormat = "jpeg" | "png" | "webp" | "gif";

interface Signature {
  readonly name: string;
  /** Matched at the start of the bytes, as Latin-1. */
  readonly start: RegExp;
}

const SIGNATURES: Readonly<Record<ImageFormat, Signature>> = {
  jpeg: { name: "JPEG", start: /^\xff\xd8\xff/ },
  png: { name: "PNG", start: /^\x89PNG\r\n\x1a\n/ },
  webp: { name: "WebP", start: /^RIFF[^]{4}WEBP/ },
  gif: { name: "GIF", start: /^GIF8[79]a/ },
};

interface Unsupported extends Signature {
  readonly remedy: string;
}

const CONVERT = "convert it to PNG or JPEG first";
const DECODE = "decode it, and pass the bytes of the image";
const DOWNLOAD = "check the address that it was downloaded from, and whether that needs a login";
const UNPACK = "unpack it, and pass the image inside";
const RENDER = "render it to PNG first";

/** Bytes that callers pass by mistake, or in the hope that they are supported. The first match counts. */
const UNSUPPORTED: readonly Unsupported[] = [
  { name: "HEIC", start: /^[^]{4}ftyp(hei[cxms]|hev[cxms])/, remedy: CONVERT },
  { name: "AVIF", start: /^[^]{4}ftyp(avif|avis)/, remedy: CONVERT },
  { name: "HEIF", start: /^[^]{4}ftyp(mif1|msf1)/, remedy: CONVERT },
  {
    name: "MP4 or QuickTime video",
    start: /^[^]{4}ftyp/,
    remedy: "decode it, and pass its frames as rasters",
  },
  {
    name: "Matroska or WebM video",
    start: /^\x1aE\xdf\xa3/,
    remedy: "decode it, and pass its frames as rasters",
  },
  { name: "AVI video", start: /^RIFF[^]{4}AVI /, remedy: "decode it, and pass its frames as rasters" },
  { name: "JPEG XL", start: /^(\xff\x0a|\0\0\0\x0cJXL )/, remedy: CONVERT },
  { name: "JPEG 2000", start: /^(\0\0\0\x0cjP {2}|\xff\x4f\xff\x51)/, remedy: CONVERT },
  { name: "BMP", start: /^BM[^]{4}\0{4}/, remedy: CONVERT },
  { name: "TIFF", start: /^(II[*+]\0|MM\0[*+])/, remedy: CONVERT },
  { name: "ICO", start: /^\0\0[\x01\x02]\0/, remedy: CONVERT },
  { name: "PSD", start: /^8BPS/, remedy: CONVERT },
  { name: "QOI", start: /^qoif/, remedy: CONVERT },
  { name: "DDS", start: /^DDS /, remedy: CONVERT },
  { name: "OpenEXR", start: /^v\/1\x01/, remedy: CONVERT },
  { name: "PNM", start: /^P[1-7]\s/, remedy: CONVERT },
  { name: "PDF", start: /^%PDF-/, remedy: RENDER },
  {
    name: "Git LFS pointer",
    start: /^version https:\/\/git-lfs/,
    remedy: "fetch the file itself with git lfs pull",
  },
  { name: "data URL", start: /^data:/i, remedy: DECODE },
  {
    name: "URL",
    start: /^(https?|file|s3|gs):\/\//i,
    remedy: "download it, and pass the bytes of the image",
  },
  { name: "base64 text", start: /^(\/9j\/|iVBORw0KGgo|UklGR|R0lGOD)/, remedy: DECODE },
  { name: "HTML", start: /^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)/i, remedy: DOWNLOAD },
  { name: "SVG", start: /^(\xef\xbb\xbf)?\s*(<[?!][^]*)?<svg\b/, remedy: RENDER },
  { name: "XML", start: /^(\xef\xbb\xbf)?\s*<\?xml/, remedy: DOWNLOAD },
  { name: "JSON", start: /^(\xef\xbb\xbf)?\s*[{[]\s*["{[\]}]/, remedy: DOWNLOAD },
  { name: "gzip data", start: /^\x1f\x8b/, remedy: UNPACK },
  { name: "ZIP archive", start: /^PK\x03\x04/, remedy: UNPACK },
];

/** Signatures are looked for in so many bytes; an SVG may begin with a comment. */
const START_BYTES = 256;

/** @throws VG_IMAGE_INVALID for no bytes at all and for any other format, which is named if it is a known one. */
export function detectFormat(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) {
    throw new VitgraphError("VG_IMAGE_INVALID", "the image has no bytes", {
      remedy: "check that its file was written or downloaded to the end",
      details: { sizeBytes: 0 },
    });
  }
  const start = Buffer.from(bytes.subarray(0, START_BYTES)).toString("latin1");
  for (const [format, signature] of Object.entries(SIGNATURES)) {
    if (signature.start.test(start)) return format as ImageFormat;
  }
  const details = { sizeBytes: bytes.length };
  const known = UNSUPPORTED.find((format) => format.start.test(start));
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
