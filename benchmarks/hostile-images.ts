/**
 * Images that cost far more than they weigh, for the benches: legal or nearly so, small in bytes, dear in time or memory.
 * None of them needs an encoder: they are written byte by byte, or made of an ordinary JPEG.
 */
import { selfPointingExif, zeroPng } from "@vitgraph/core/testing";

export interface HostileImage {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** @param jpeg any JPEG: some of the images are made of it, and decode to the same pixels where they decode */
export function hostileImages(jpeg: Uint8Array): readonly HostileImage[] {
  const exif = Buffer.concat([Buffer.from("Exif\0\0", "latin1"), selfPointingExif(5000)]);
  // The decoder holds eight bytes a pixel of it, and the whole image at once.
  const deep = zeroPng({ width: 3000, height: 3000, bitDepth: 16, colourType: 6, interlaced: true });
  return [
    { name: "EXIF that refers to itself", bytes: withSegment(jpeg, 0xe1, exif) },
    { name: "JPEG of 694 scans", bytes: jpegOfManyScans(4000) },
    { name: "interlaced 16-bit PNG", bytes: new Uint8Array(deep) },
    { name: "JPEG header of 4 gigapixels", bytes: withSize(jpeg, 65_535) },
    { name: "truncated JPEG", bytes: jpeg.slice(0, jpeg.length >> 1) },
    { name: "JPEG that ends in its header", bytes: jpeg.slice(0, 10) },
  ];
}

/** The JPEG with one more segment, the first. */
function withSegment(jpeg: Uint8Array, marker: number, data: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([jpeg.subarray(0, 2), segment(marker, data), jpeg.subarray(2)]));
}

function segment(marker: number, data: Uint8Array): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, data]);
}

/** The JPEG with another size in its frame header. */
function withSize(jpeg: Uint8Array, side: number): Uint8Array {
  const copy = Buffer.from(jpeg);
  for (let at = 2; at < copy.length; at += 2 + copy.readUInt16BE(at + 2)) {
    const marker = copy[at + 1] as number;
    if (marker < 0xc0 || marker > 0xc2) continue;
    copy.writeUInt16BE(side, at + 5);
    copy.writeUInt16BE(side, at + 7);
    return new Uint8Array(copy);
  }
  throw new Error("the JPEG has no frame header");
}

/** A progressive grey JPEG in as many scans as the format allows, each of them empty: every scan walks all blocks. */
function jpegOfManyScans(side: number): Uint8Array {
  const lowBits = 10;
  const blocks = Math.ceil(side / 8) ** 2;
  const scan = (from: number, to: number, high: number, low: number, data: Uint8Array) =>
    Buffer.concat([segment(0xda, Uint8Array.of(1, 1, 0, from, to, (high << 4) | low)), data]);
  const empty = emptyBlocks(blocks);
  const bands = Array.from({ length: 63 }, (_, index) => index + 1);
  return new Uint8Array(
    Buffer.concat([
      Buffer.from([0xff, 0xd8]),
      segment(0xdb, Uint8Array.of(0, ...Array<number>(64).fill(1))),
      segment(0xc2, Uint8Array.of(8, side >> 8, side & 255, side >> 8, side & 255, 1, 1, 0x11, 0)),
      // DC: one code, for a difference of zero. AC: one code, for a run of empty blocks whose length has 14 more bits.
      segment(0xc4, Uint8Array.of(0x00, 1, ...Array<number>(15).fill(0), 0)),
      segment(0xc4, Uint8Array.of(0x10, 0, 1, ...Array<number>(14).fill(0), 0xe0)),
      scan(0, 0, 0, lowBits, new Uint8Array(Math.ceil(blocks / 8))),
      ...bands.map((band) => scan(band, band, 0, lowBits, empty)),
      ...Array.from({ length: lowBits }, (_, index) => lowBits - index).flatMap((bit) =>
        bands.map((band) => scan(band, band, bit, bit - 1, empty)),
      ),
      Buffer.from([0xff, 0xd9]),
    ]),
  );
}

/** Entropy-coded data of this many empty blocks, in runs of at most 32 767. */
function emptyBlocks(blocks: number): Uint8Array {
  let bits = "";
  for (let left = blocks; left > 0; ) {
    const extra = Math.min(left, 32_767) >= 16_384 ? Math.min(left, 32_767) - 16_384 : 0;
    bits += `00${extra.toString(2).padStart(14, "0")}`;
    left -= 16_384 + extra;
  }
  const bytes = (bits.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, "1"), 2));
  return Uint8Array.from(bytes.flatMap((byte) => (byte === 0xff ? [byte, 0] : [byte])));
}
