/**
 * PNG: parses the chunks by Pillow's rules. Checksums are verified up to the image data and ignored after it.
 *
 * The output stream has IHDR, a full palette, one IDAT with a correct checksum, and IEND. It has no transparency
 * (tRNS), because Pillow's `convert("RGB")` ignores it.
 */
import { constants, crc32, inflateSync } from "node:zlib";
import { HeaderError, type PngHeader, StepCounter } from "./image-header.js";
import { type OrientationSources, readOrientation } from "./orientation.js";

/** Maximum chunks: half a gigabyte of image data in chunks of the usual 8 KiB. */
const MAX_CHUNKS = 65_536;
/** Pillow's limit for inflated text. vitgraph applies it to uncompressed text, too. */
const MAX_TEXT_BYTES = 1 << 20;

const SIGNATURE_BYTES = 8;
const BIT_DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};

interface Chunk {
  readonly name: string;
  readonly data: Buffer;
  /** Whether the file contains all of the chunk's data. Its checksum may be missing. */
  readonly whole: boolean;
  /** Offset of the checksum. */
  readonly end: number;
}

export function readPng(bytes: Uint8Array): PngHeader {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const steps = new StepCounter(MAX_CHUNKS, "chunks");
  const text = new TextChunks();
  const imageData: Buffer[] = [];
  let header: Buffer | undefined;
  let palette: Buffer | undefined;
  // Pillow reads the first run of consecutive IDAT chunks and ignores later ones.
  let afterImageData = false;
  for (let at = SIGNATURE_BYTES; ; ) {
    steps.count();
    const chunk = readChunk(file, at);
    const inImageData = imageData.length > 0;
    if (chunk === undefined && inImageData) break;
    if (chunk === undefined) throw new HeaderError("it ends before its image data");
    const { name, data, whole, end } = chunk;
    at = end + 4;
    if (name === "CgBI") {
      throw new HeaderError("its first chunk is CgBI, not IHDR: only Apple's tools read such a PNG");
    }
    if (name === "IDAT" && !afterImageData) {
      imageData.push(data);
      continue;
    }
    afterImageData = inImageData;
    if (name === "IEND") break;
    if (!whole) throw new HeaderError(`its ${name} chunk is cut off`);
    if (!inImageData) {
      checkChecksum(file, chunk);
      if (name === "IHDR") header = data;
      if (name === "PLTE") palette = data;
    }
    text.take(name, data);
  }
  if (imageData.length === 0) throw new HeaderError("it has no image data");
  if (header === undefined) throw new HeaderError("it has no IHDR chunk");
  const fields = readHeaderChunk(header);
  const orientation = readOrientation(text.sources());
  return { format: "png", ...fields, orientation, stream: writePng(fields, palette, imageData) };
}

/** The IDAT data in the stream of a {@link PngHeader}: one zlib stream. */
export function compressedRows({ stream }: PngHeader): Uint8Array {
  const at = imageDataOffset(stream);
  return stream.subarray(at + 8, stream.length - AFTER_DATA_BYTES);
}

/** The stream of a {@link PngHeader} with other image data. */
export function withCompressedRows({ stream }: PngHeader, data: Uint8Array): Uint8Array {
  const at = imageDataOffset(stream);
  return Buffer.concat([stream.subarray(0, at), ...chunkParts("IDAT", [data]), ...END]);
}

/** Size of IDAT's checksum and of IEND. */
const AFTER_DATA_BYTES = 16;

/** The offset of IDAT, after IHDR and PLTE. */
function imageDataOffset(stream: Uint8Array): number {
  const file = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  let at = SIGNATURE_BYTES;
  while (file.readUInt32BE(at + 4) !== IDAT) at += 12 + file.readUInt32BE(at);
  return at;
}

/** Undefined at the end of the file, or if the chunk name is invalid. */
function readChunk(file: Buffer, at: number): Chunk | undefined {
  if (at + 8 > file.length) return undefined;
  const name = file.toString("latin1", at + 4, at + 8);
  if (!/^\w{4}$/.test(name)) return undefined;
  const end = at + 8 + file.readUInt32BE(at);
  return { name, data: file.subarray(at + 8, end), whole: end <= file.length, end };
}

function checkChecksum(file: Buffer, { name, data, end }: Chunk): void {
  const sum = crc32(data, crc32(Buffer.from(name, "latin1")));
  if (end + 4 > file.length) throw new HeaderError(`its ${name} chunk has no checksum`);
  if (file.readUInt32BE(end) !== sum) throw new HeaderError(`its ${name} chunk has a wrong checksum`);
}

type HeaderFields = Pick<PngHeader, "width" | "height" | "bitDepth" | "colourType" | "interlaced">;

function readHeaderChunk(data: Buffer): HeaderFields {
  if (data.length < 13) throw new HeaderError("its IHDR chunk is too short");
  const [bitDepth, colourType, , filter, interlace] = data.subarray(8) as unknown as readonly number[];
  if (!BIT_DEPTHS[colourType as number]?.includes(bitDepth as number)) {
    throw new HeaderError(`it has ${bitDepth} bits a channel and colour type ${colourType}`);
  }
  if (filter !== 0) throw new HeaderError(`it has filter method ${filter}`);
  return {
    width: data.readUInt32BE(0),
    height: data.readUInt32BE(4),
    bitDepth: bitDepth as PngHeader["bitDepth"],
    colourType: colourType as PngHeader["colourType"],
    interlaced: interlace !== 0,
  };
}

const IDAT = Buffer.from("IDAT", "latin1").readUInt32BE();
const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
const END = chunkParts("IEND", []);

function writePng(
  { width, height, bitDepth, colourType, interlaced }: HeaderFields,
  palette: Buffer | undefined,
  imageData: readonly Buffer[],
): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([bitDepth, colourType, 0, 0, interlaced ? 1 : 0], 8);
  const parts: Uint8Array[] = [SIGNATURE, ...chunkParts("IHDR", [header])];
  if (colourType === 3) parts.push(...chunkParts("PLTE", [fullPalette(palette, bitDepth)]));
  return Buffer.concat([...parts, ...chunkParts("IDAT", imageData), ...END]);
}

/** A colour for each index: black beyond the file's palette, as in Pillow. libpng would refuse such an index. */
function fullPalette(palette: Buffer | undefined, bitDepth: number): Buffer {
  const full = Buffer.alloc(3 << bitDepth);
  if (palette !== undefined)
    full.set(palette.subarray(0, Math.min(full.length, palette.length - (palette.length % 3))));
  return full;
}

/** The parts of a chunk. The caller concatenates all parts of the file at once, because image data is large. */
function chunkParts(name: string, parts: readonly Uint8Array[]): readonly Uint8Array[] {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(parts.reduce((sum, part) => sum + part.length, 0));
  head.write(name, 4, "latin1");
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(parts.reduce((crc, part) => crc32(part, crc), crc32(head.subarray(4))));
  return [head, ...parts, sum];
}

/** The text and EXIF chunks that Pillow searches for an orientation. The last of each kind counts. */
class TextChunks {
  #exif: Uint8Array | undefined;
  #rawProfile: Text | undefined;
  #xmp: Text | undefined;

  take(name: string, data: Buffer): void {
    if (name === "eXIf") this.#exif = data;
    const read = TEXT_CHUNKS[name];
    if (read === undefined) return;
    const keyEnd = data.subarray(0, MAX_KEY_BYTES + 1).indexOf(0);
    const text = keyEnd < 0 ? undefined : read(data.subarray(keyEnd + 1));
    if (text === undefined) return;
    const key = data.toString("latin1", 0, keyEnd);
    if (key === "exif" && name === "tEXt") this.#exif = text.data;
    if (key === "Raw profile type exif") this.#rawProfile = text;
    if (key === "XML:com.adobe.xmp") this.#xmp = text;
  }

  /** Inflates at most two texts of at most {@link MAX_TEXT_BYTES} each. */
  sources(): OrientationSources {
    return { exif: this.#exif ?? rawProfile(plainText(this.#rawProfile)), xmp: plainText(this.#xmp) };
  }
}

const MAX_KEY_BYTES = 79;

interface Text {
  readonly data: Buffer;
  readonly compressed: boolean;
}

/** Parsers of text chunks by chunk name. They return undefined for a chunk that Pillow skips. */
const TEXT_CHUNKS: Readonly<Record<string, (data: Buffer) => Text | undefined>> = {
  tEXt: (data) => ({ data, compressed: false }),
  zTXt: (data) => (data[0] === 0 ? { data: data.subarray(1), compressed: true } : undefined),
  iTXt: (data) => {
    const [compressed, method] = data;
    const languageEnd = data.indexOf(0, 2);
    const keyEnd = languageEnd < 0 ? -1 : data.indexOf(0, languageEnd + 1);
    if (keyEnd < 0 || (compressed !== 0 && method !== 0)) return undefined;
    return { data: data.subarray(keyEnd + 1), compressed: compressed !== 0 };
  },
};

function plainText(text: Text | undefined): Buffer | undefined {
  if (!text?.compressed) return text?.data.subarray(0, MAX_TEXT_BYTES);
  try {
    // A truncated zlib stream yields the bytes up to its end.
    return inflateSync(text.data, {
      maxOutputLength: MAX_TEXT_BYTES,
      finishFlush: constants.Z_SYNC_FLUSH,
    });
  } catch {
    return undefined;
  }
}

/** ImageMagick's text form of EXIF: a blank line, "exif", the length, then lines of hexadecimal digits. */
function rawProfile(text: Buffer | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  let start = 0;
  for (let line = 0; line < 3; line++) {
    start = text.indexOf("\n", start) + 1;
    if (start === 0) return EMPTY;
  }
  const digits = text.toString("latin1", start).replaceAll(/\s/g, "");
  return /^([0-9a-fA-F]{2})*$/.test(digits) ? Buffer.from(digits, "hex") : undefined;
}

const EMPTY = Buffer.alloc(0);
