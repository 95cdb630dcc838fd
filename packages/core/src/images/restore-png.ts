/**
 * Repairs PNG image data that Pillow accepts and libpng refuses: data without the checksum at its end (Adler-32), or
 * with fewer rows than the header says. Pillow sets missing rows to zero.
 *
 * The data is inflated and compressed again as a stream: on libuv's threads, chunk by chunk to save memory.
 */
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { constants, createDeflate, createInflateRaw } from "node:zlib";
import { HeaderError, type PngHeader } from "./image-header.js";
import { compressedRows, withCompressedRows } from "./png-header.js";

const CHANNELS: Readonly<Record<PngHeader["colourType"], number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/**
 * @returns a stream that libpng decodes to Pillow's pixels
 * @throws HeaderError if Pillow, too, refuses the data
 */
export async function restorePng(header: PngHeader): Promise<Uint8Array> {
  const data = compressedRows(header);
  checkZlibHeader(data);
  const passes = passesOf(header);
  const expectedBytes = imageDataBytes(header);
  const inflate = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH });
  // Run-length encoding is fast, and compresses zeros well, which are the worst case for the size.
  const deflate = createDeflate({ level: 1, strategy: constants.Z_RLE });
  const deflated = buffer(deflate);
  const write = async (rows: Buffer) => {
    if (!deflate.write(rows)) await once(deflate, "drain");
  };
  const adler = new Adler32();
  let seenBytes = 0;
  try {
    inflate.end(data.subarray(ZLIB_HEADER_BYTES));
    for await (const chunk of inflate as AsyncIterable<Buffer>) {
      await write(chunk.subarray(0, expectedBytes - seenBytes));
      adler.add(chunk);
      seenBytes += chunk.length;
      if (seenBytes > expectedBytes) break; // Pillow stops at the last row
    }
    const checksum = data.subarray(ZLIB_HEADER_BYTES + inflate.bytesWritten);
    if (seenBytes <= expectedBytes) checkEnd(seenBytes, passes, checksum, adler.value);
    for (let left = expectedBytes - seenBytes; left > 0; left -= ZEROS.length) {
      await write(ZEROS.subarray(0, left));
    }
    deflate.end();
    return withCompressedRows(header, await deflated);
  } catch (cause) {
    deflate.destroy();
    await deflated.catch(() => {});
    if (cause instanceof HeaderError) throw cause;
    throw new HeaderError(`its image data is damaged: ${(cause as Error).message}`);
  }
}

const ZEROS = Buffer.alloc(1 << 16);

/** @param checksum the bytes after the deflated stream. @param adler the checksum of the inflated bytes */
function checkEnd(seenBytes: number, passes: readonly Pass[], checksum: Uint8Array, adler: number): void {
  const { complete, atRow } = placeOf(seenBytes, passes);
  if (checksum.length < 4) {
    if (complete) return;
    throw new HeaderError("its image data is cut off");
  }
  if (Buffer.from(checksum).readUInt32BE() !== adler) {
    throw new HeaderError("its image data is damaged or has a wrong checksum");
  }
  if (seenBytes === 0) throw new HeaderError("its image data is empty");
  if (!atRow) throw new HeaderError("its image data ends within a row");
}

function placeOf(seenBytes: number, passes: readonly Pass[]): { complete: boolean; atRow: boolean } {
  let left = seenBytes;
  for (const { rowBytes, rows } of passes) {
    if (left < rowBytes * rows) return { complete: false, atRow: left % rowBytes === 0 };
    left -= rowBytes * rows;
  }
  return { complete: true, atRow: true };
}

const ZLIB_HEADER_BYTES = 2;

function checkZlibHeader(data: Uint8Array): void {
  const [method = 0, flags = 0] = data;
  const valid =
    (method & 0x0f) === 8 && method >> 4 <= 7 && (method * 256 + flags) % 31 === 0 && !(flags & 0x20);
  if (!valid) throw new HeaderError("its image data is not a zlib stream");
}

interface Pass {
  readonly rowBytes: number;
  readonly rows: number;
}

/** Offset and step of the pixels in each Adam7 pass: first x, first y, step in x, step in y. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

type PictureFields = Pick<PngHeader, "width" | "height" | "bitDepth" | "colourType" | "interlaced">;

/** Bytes of the inflated image data. */
export function imageDataBytes(header: PictureFields): number {
  return passesOf(header).reduce((sum, { rowBytes, rows }) => sum + rowBytes * rows, 0);
}

/** The passes of the inflated data in order. Each row begins with a filter byte. */
function passesOf({ width, height, bitDepth, colourType, interlaced }: PictureFields): readonly Pass[] {
  const bits = bitDepth * CHANNELS[colourType];
  const pass = (columns: number, rows: number) => ({ rowBytes: 1 + Math.ceil((columns * bits) / 8), rows });
  if (!interlaced) return [pass(width, height)];
  return ADAM7.map(([x, y, dx, dy]) => [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)] as const)
    .filter(([columns, rows]) => columns > 0 && rows > 0)
    .map(([columns, rows]) => pass(columns, rows));
}

/** The checksum at the end of a zlib stream. node:zlib has no function for it. */
class Adler32 {
  #low = 1;
  #high = 0;

  get value(): number {
    return ((this.#high << 16) | this.#low) >>> 0;
  }

  add(bytes: Uint8Array): void {
    let low = this.#low;
    let high = this.#high;
    for (let start = 0; start < bytes.length; start += ADLER_RUN) {
      const end = Math.min(start + ADLER_RUN, bytes.length);
      for (let index = start; index < end; index++) {
        low += bytes[index] as number;
        high += low;
      }
      low %= ADLER_MODULUS;
      high %= ADLER_MODULUS;
    }
    this.#low = low;
    this.#high = high;
  }
}

const ADLER_MODULUS = 65_521;
/** Maximum number of bytes before the modulus: their sums fit in 31 bits. */
const ADLER_RUN = 3_800;
