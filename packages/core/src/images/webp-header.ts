/**
 * WebP: parses the RIFF chunks. The output stream has no ICC profile, EXIF or XMP, and no bytes after the RIFF form.
 */
import { HeaderError, StepCounter, type WebpHeader } from "./image-header.js";
import { type OrientationSources, readOrientation } from "./orientation.js";
import type { ImageSize } from "./smart-resize.js";

/** Maximum chunks. An animation has two chunks per frame. */
const MAX_CHUNKS = 65_536;

const FORM_BYTES = 12;
const CHUNK_BYTES = 8;
/** Flags of the VP8X chunk. */
const HAS_XMP = 0x04;
const HAS_EXIF = 0x08;
const HAS_ICC = 0x20;

export function readWebp(bytes: Uint8Array): WebpHeader {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const steps = new StepCounter(MAX_CHUNKS, "chunks");
  const formEnd = CHUNK_BYTES + file.readUInt32LE(4); // the signature has 12 bytes
  const end = Math.min(formEnd, file.length);
  const kept: Buffer[] = [Buffer.from(file.subarray(0, FORM_BYTES))];
  const sources: OrientationSources = {};
  let extended: Buffer | undefined;
  let picture: ImageSize | undefined;
  for (let at = FORM_BYTES; at + CHUNK_BYTES <= end; ) {
    steps.count();
    const name = file.toString("latin1", at, at + 4);
    const sizeBytes = file.readUInt32LE(at + 4);
    const next = at + CHUNK_BYTES + sizeBytes + (sizeBytes & 1);
    const data = file.subarray(at + CHUNK_BYTES, Math.min(at + CHUNK_BYTES + sizeBytes, end));
    const chunk = file.subarray(at, Math.min(next, end));
    at = next;
    if (name === "VP8X" && extended === undefined && picture === undefined) {
      if (data.length < 10) throw new HeaderError("its VP8X chunk is too short");
      extended = Buffer.from(chunk);
      kept.push(extended);
    } else if (METADATA.has(name) && extended !== undefined) {
      // libwebp skips a metadata chunk whose flag is not set, and all but the first of a kind.
      const flags = extended[CHUNK_BYTES] as number;
      if (name === "EXIF" && flags & HAS_EXIF) sources.exif ??= data;
      if (name === "XMP " && flags & HAS_XMP) sources.xmp ??= data;
    } else {
      picture ??= readPicture(name, data);
      kept.push(chunk);
      // A file without VP8X has one picture; libwebp ignores further chunks.
      if (extended === undefined && picture !== undefined) break;
    }
  }
  if (picture === undefined) throw new HeaderError("it has no picture");
  const size = extended === undefined ? picture : canvasSize(extended);
  if (extended !== undefined) {
    extended[CHUNK_BYTES] = (extended[CHUNK_BYTES] as number) & ~(HAS_EXIF | HAS_XMP | HAS_ICC);
  }
  const stream = Buffer.concat(kept);
  // For a truncated file, the form's size stays larger than the stream, so that the decoder reports the truncation.
  const missing = Math.max(0, formEnd - file.length);
  stream.writeUInt32LE(stream.length - CHUNK_BYTES + missing, 4);
  return {
    format: "webp",
    width: size.width,
    height: size.height,
    orientation: readOrientation(sources),
    stream,
  };
}

const METADATA: ReadonlySet<string> = new Set(["ICCP", "EXIF", "XMP "]);

function canvasSize(extended: Buffer): ImageSize {
  const at = CHUNK_BYTES + 4;
  return { width: 1 + extended.readUIntLE(at, 3), height: 1 + extended.readUIntLE(at + 3, 3) };
}

/** The size in a picture chunk, or in the first picture of a frame (ANMF). Undefined for any other chunk. */
function readPicture(name: string, data: Buffer): ImageSize | undefined {
  if (name === "ANMF") {
    let at = 16;
    if (data.toString("latin1", at, at + 4) === "ALPH" && data.length >= at + CHUNK_BYTES) {
      const alphaBytes = data.readUInt32LE(at + 4);
      at += CHUNK_BYTES + alphaBytes + (alphaBytes & 1);
    }
    const inner = data.toString("latin1", at, at + 4);
    return inner === "ANMF" ? undefined : readPicture(inner, data.subarray(at + CHUNK_BYTES));
  }
  if (name === "VP8 ") {
    // three bytes of frame tag, three of start code, then 14 bits each of width and height
    if (data.length < 10 || data.readUIntBE(3, 3) !== 0x9d012a)
      throw new HeaderError("its VP8 chunk is damaged");
    return { width: data.readUInt16LE(6) & 0x3fff, height: data.readUInt16LE(8) & 0x3fff };
  }
  if (name === "VP8L") {
    if (data.length < 5 || data[0] !== 0x2f) throw new HeaderError("its VP8L chunk is damaged");
    const bits = data.readUInt32LE(1);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  return undefined;
}
