/** JPEG: parses the segments before the first scan. The output stream has those needed for decoding, and all scans. */
import { nextTurn } from "../next-turn.js";
import { HeaderError, type JpegHeader, StepCounter } from "./image-header.js";
import { type OrientationSources, readOrientation } from "./orientation.js";

/** A usual file has some tens of segments; an ICC profile of several MiB has 255. */
const MAX_SEGMENTS = 65_536;

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const APP0 = 0xe0;
const APP1 = 0xe1;
const APP14 = 0xee;
const COM = 0xfe;

const EXIF = "Exif\0\0";
const XMP = "http://ns.adobe.com/xap/1.0/\0";
/** A block has 8 × 8 coefficients of 16 bits. */
const BLOCK_BYTES = 128;

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly components: 1 | 3 | 4;
  readonly coefficientBytes: number;
  readonly progressive: boolean;
}

export function readJpeg(bytes: Uint8Array): JpegHeader {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const steps = new StepCounter(MAX_SEGMENTS, "segments");
  const kept: Uint8Array[] = [file.subarray(0, 2)];
  const exif: Uint8Array[] = [];
  const sources: OrientationSources = {};
  let frame: Frame | undefined;
  let adobe = false;
  let at = 2;
  for (;;) {
    steps.count();
    at = file.indexOf(0xff, at);
    while (at >= 0 && file[at] === 0xff) at++; // a marker may be padded
    const marker = at < 0 ? undefined : file[at];
    if (marker === undefined) throw new HeaderError("it ends before its first scan");
    at++;
    if (marker === EOI || marker === SOI) throw new HeaderError("it has no scan");
    if (marker === 0 || (marker >= 0xd0 && marker <= 0xd7)) continue; // junk, and markers without a length
    if (marker < 0xc0) throw new HeaderError(`unknown marker 0x${marker.toString(16)}`);
    if (marker === SOS) {
      kept.push(file.subarray(at - 2));
      break;
    }
    if (at + 2 > file.length) throw new HeaderError("it ends before its first scan");
    const end = at + Math.max(2, file.readUInt16BE(at)); // Pillow treats a length below 2 as a segment without data
    if (end > file.length) throw new HeaderError("a segment reaches beyond its end");
    const data = file.subarray(at + 2, end);
    const segment = file.subarray(at - 2, end);
    at = end;
    if (marker === APP1) {
      if (startsWith(data, EXIF)) exif.push(exif.length === 0 ? data : data.subarray(EXIF.length));
      else if (startsWith(data, XMP)) sources.xmp = data.subarray(XMP.length);
    } else if (marker === APP14 && startsWith(data, "Adobe")) {
      adobe = true;
      kept.push(segment);
    } else if (marker === APP0 && startsWith(data, "JFIF\0")) {
      kept.push(segment);
    } else if ((marker < APP0 || marker > 0xef) && marker !== COM) {
      if (isFrame(marker)) frame = readFrame(marker, data);
      kept.push(segment);
    }
  }
  if (frame === undefined) throw new HeaderError("it has no frame before its first scan");
  // Pillow treats all CMYK values as inverted, libvips only those of files with Adobe's marker.
  if (frame.components === 4 && !adobe) kept.splice(1, 0, ADOBE_CMYK);
  sources.exif = exif.length === 0 ? undefined : Buffer.concat(exif);
  return { format: "jpeg", ...frame, orientation: readOrientation(sources), stream: Buffer.concat(kept) };
}

/** APP14 segment: marker, length, "Adobe", version 100, two flags, no transform. */
const ADOBE_CMYK = Buffer.from("\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0", "latin1");

/**
 * Counts the scans of a JPEG, up to `limit`. Parses markers like libjpeg, up to EOI: bytes that look like a marker
 * within a segment or after the picture don't count. Yields to the event loop periodically, so that a long file does
 * not block it.
 * @param stream {@link JpegHeader.stream}
 */
export async function countScans(stream: Uint8Array, limit: number): Promise<number> {
  const file = Buffer.from(stream.buffer, stream.byteOffset, stream.byteLength);
  let scans = 0;
  let at = 2;
  for (let step = 1; scans <= limit; step++) {
    if (step % STEPS_PER_TURN === 0) await nextTurn();
    at = file.indexOf(0xff, at);
    if (at < 0) break;
    const marker = file[at + 1];
    if (marker === undefined || marker === EOI) break;
    if (marker === 0xff) {
      at += 1; // padding
    } else if (marker === 0 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2; // an escaped 0xff, or a restart marker, within a scan
    } else {
      if (marker === SOS) scans++;
      if (at + 4 > file.length) break;
      at += 2 + Math.max(2, file.readUInt16BE(at + 2));
    }
  }
  return scans;
}

/** Steps between yields: some milliseconds of work. */
const STEPS_PER_TURN = 1 << 16;

/** SOF0 to SOF15, except for DHT, JPG and DAC, whose codes lie in that range. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readFrame(marker: number, data: Buffer): Frame {
  const components = data[5];
  if (components === undefined || data.length < 6 + components * 3) {
    throw new HeaderError("its frame header is too short");
  }
  if (data[0] !== 8) throw new HeaderError(`it has ${data[0]} bits a channel, and 8 are supported`);
  if (components !== 1 && components !== 3 && components !== 4) {
    throw new HeaderError(`it has ${components} channels`);
  }
  const height = data.readUInt16BE(1);
  const width = data.readUInt16BE(3);
  const sampling = Array.from({ length: components }, (_, index) => data[7 + index * 3] as number);
  const horizontal = sampling.map((factors) => factors >> 4);
  const vertical = sampling.map((factors) => factors & 15);
  const largest = { h: Math.max(1, ...horizontal), v: Math.max(1, ...vertical) };
  let blocks = 0;
  for (let index = 0; index < components; index++) {
    const h = horizontal[index] as number;
    const v = vertical[index] as number;
    blocks += Math.ceil(width / 8 / largest.h) * h * Math.ceil(height / 8 / largest.v) * v;
  }
  // SOF2, 6, 10 and 14
  return {
    width,
    height,
    components,
    coefficientBytes: blocks * BLOCK_BYTES,
    progressive: (marker & 3) === 2,
  };
}

function startsWith(data: Buffer, start: string): boolean {
  return data.length >= start.length && data.toString("latin1", 0, start.length) === start;
}
