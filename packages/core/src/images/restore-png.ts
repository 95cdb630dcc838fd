/**
 * PNG image data as Pillow accepts it and libpng does not: without the checksum at its end (Adler-32), or complete but
 * with fewer rows than the header announces. Pillow leaves such rows at zero.
 *
 * The data is inflated and compressed again as a stream, chunk by chunk: on libuv's threads, in little memory.
 */
import { Transform, type TransformCallback } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createDeflate, createInflateRaw } from "node:zlib";
import { HeaderError, type PngHeader } from "./image-header.js";
import { compressedRows, withCompressedRows } from "./png-header.js";

const CHANNELS: Readonly<Record<PngHeader["colourType"], number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const ADLER_MODULUS = 65_521;
/** Of additions that fit 32 bits before a modulus is needed. */
const ADLER_RUN = 3_800;

/**
 * @returns a stream that libpng decodes to Pillow's pixels
 * @throws HeaderError if Pillow, too, refuses the data
 */
export async function restorePng(header: PngHeader): Promise<Uint8Array> {
  const data = compressedRows(header);
  checkZlibHeader(data);
  const inflate = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH });
  const rows = new Rows(passesOf(header), () => data.subarray(ZLIB_HEADER_BYTES + inflate.bytesWritten));
  // Run lengths alone: fast, and zeros, the worst case for its size, stay small.
  const deflate = createDeflate({ level: 1, strategy: constants.Z_RLE });
  const parts: Buffer[] = [];
  inflate.end(data.subarray(ZLIB_HEADER_BYTES));
  await pipeline(inflate, rows, deflate, async (chunks) => {
    for await (const chunk of chunks) parts.push(chunk as Buffer);
  }).catch((cause) => {
    throw cause instanceof HeaderError
      ? cause
      : new HeaderError(`its image data is damaged: ${cause.message}`);
  });
  return withCompressedRows(header, Buffer.concat(parts));
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

/** Offset and step of the pixels in each of Adam7's passes: x, y, every nth x, every nth y. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** The rows of the inflated data in order; each begins with a byte for its filter. */
function passesOf({ width, height, bitDepth, colourType, interlaced }: PngHeader): readonly Pass[] {
  const bits = bitDepth * CHANNELS[colourType];
  const pass = (columns: number, rows: number) => ({ rowBytes: 1 + Math.ceil((columns * bits) / 8), rows });
  if (!interlaced) return [pass(width, height)];
  return ADAM7.map(([x, y, dx, dy]) => [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)] as const)
    .filter(([columns, rows]) => columns > 0 && rows > 0)
    .map(([columns, rows]) => pass(columns, rows));
}

/** Passes the expected bytes on, fills up with zeros, and keeps the checksum of all bytes that it sees. */
class Rows extends Transform {
  readonly #passes: readonly Pass[];
  readonly #expectedBytes: number;
  /** The data behind the deflated stream, known at its end. */
  readonly #checksum: () => Uint8Array;
  #seenBytes = 0;
  #low = 1;
  #high = 0;

  constructor(passes: readonly Pass[], checksum: () => Uint8Array) {
    super();
    this.#passes = passes;
    this.#expectedBytes = passes.reduce((sum, { rowBytes, rows }) => sum + rowBytes * rows, 0);
    this.#checksum = checksum;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const wanted = Math.max(0, this.#expectedBytes - this.#seenBytes);
    this.#seenBytes += chunk.length;
    this.#addToChecksum(chunk);
    done(null, wanted < chunk.length ? chunk.subarray(0, wanted) : chunk);
  }

  override _flush(done: TransformCallback): void {
    const fault = this.#faultOfEnd();
    if (fault !== undefined) {
      done(new HeaderError(fault));
      return;
    }
    const zeros = Buffer.alloc(1 << 16);
    for (let left = this.#expectedBytes - this.#seenBytes; left > 0; left -= zeros.length) {
      this.push(left < zeros.length ? zeros.subarray(0, left) : zeros);
    }
    done();
  }

  #faultOfEnd(): string | undefined {
    if (this.#seenBytes > this.#expectedBytes) return undefined; // Pillow stops at the last row
    const complete = this.#seenBytes === this.#expectedBytes;
    const checksum = this.#checksum();
    if (checksum.length < 4) return complete ? undefined : "its image data is cut off";
    if (Buffer.from(checksum).readUInt32BE() !== this.#adler32()) {
      return "its image data is damaged or has a wrong checksum";
    }
    if (this.#seenBytes === 0) return "its image data is empty";
    return complete || this.#endsAtRow() ? undefined : "its image data ends within a row";
  }

  #endsAtRow(): boolean {
    let left = this.#seenBytes;
    for (const { rowBytes, rows } of this.#passes) {
      if (left < rowBytes * rows) return left % rowBytes === 0;
      left -= rowBytes * rows;
    }
    return true;
  }

  #adler32(): number {
    return ((this.#high << 16) | this.#low) >>> 0;
  }

  #addToChecksum(chunk: Buffer): void {
    let low = this.#low;
    let high = this.#high;
    for (let start = 0; start < chunk.length; start += ADLER_RUN) {
      const end = Math.min(start + ADLER_RUN, chunk.length);
      for (let index = start; index < end; index++) {
        low += chunk[index] as number;
        high += low;
      }
      low %= ADLER_MODULUS;
      high %= ADLER_MODULUS;
    }
    this.#low = low;
    this.#high = high;
  }
}
