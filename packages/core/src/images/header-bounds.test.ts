/** The header readers do a bounded amount of work for any bytes. The tests count steps and reads. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, test, vi } from "vitest";
import { pngChunk, selfPointingExif } from "../testing/crafted-images.js";
import { exifOrientation, xmpOrientation } from "./orientation.js";
import { readHeader } from "./read-header.js";

const folder = fileURLToPath(new URL("../../../../test/fixtures/images/pillow/", import.meta.url));

function png(extra: readonly Buffer[]): Buffer {
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0]);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  const data = pngChunk("IDAT", deflateSync(Buffer.of(0, 7)));
  return Buffer.concat([
    signature,
    pngChunk("IHDR", header),
    ...extra,
    data,
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

function fact(bytes: Uint8Array): string {
  try {
    readHeader(bytes);
  } catch (error) {
    if (VitgraphError.is(error)) return error.fact;
    throw error;
  }
  return "it was read";
}

test("each EXIF entry is read once, even if it points to its own directory", () => {
  const reads = vi.spyOn(DataView.prototype, "getUint16");
  try {
    for (const entries of [10, 5000]) {
      reads.mockClear();
      expect(exifOrientation(selfPointingExif(entries))).toBeUndefined();
      expect(reads.mock.calls.length).toBeLessThanOrEqual(2 * entries + 1); // tag and type
    }
  } finally {
    reads.mockRestore();
  }
});

test("a directory with a too large entry count is read up to the end of the data", () => {
  const exif = selfPointingExif(3);
  exif.writeUInt16BE(65_535, 8);
  expect(exifOrientation(exif)).toBeUndefined();
});

test("metadata never reaches the decoder", async () => {
  const exif = Buffer.concat([Buffer.from("Exif\0\0"), selfPointingExif(2500)]);
  const jpeg = await readFile(`${folder}444.jpg`);
  const app1 = Buffer.from([0xff, 0xe1, (exif.length + 2) >> 8, (exif.length + 2) & 255]);
  const webp = await readFile(`${folder}orientation_6.webp`);
  const images = {
    jpeg: Buffer.concat([jpeg.subarray(0, 2), app1, exif, jpeg.subarray(2)]),
    png: png([
      pngChunk("eXIf", exif),
      pngChunk("iCCP", Buffer.from("p\0\0x")),
      pngChunk("tEXt", Buffer.from("Exif\0x")),
    ]),
    webp,
  };
  for (const [format, file] of Object.entries(images)) {
    expect(file.includes(format === "jpeg" ? "Exif\0\0" : /webp/.test(format) ? "EXIF" : "eXIf")).toBe(true);
    const { stream } = readHeader(file);
    for (const name of ["Exif", "EXIF", "eXIf", "iCCP", "tEXt"])
      expect(Buffer.from(stream).includes(name)).toBe(false);
  }
});

test("an XMP packet is read up to a mebibyte", () => {
  const tag = Buffer.from('tiff:Orientation="6"');
  expect(xmpOrientation(Buffer.concat([Buffer.alloc((1 << 20) - tag.length, " "), tag]))).toBe(6);
  expect(xmpOrientation(Buffer.concat([Buffer.alloc(1 << 20, " "), tag]))).toBeUndefined();
});

test("text that inflates to more than a mebibyte is skipped", () => {
  const bomb = (sizeBytes: number) => {
    const packet = Buffer.alloc(sizeBytes, " ");
    packet.write('tiff:Orientation="6"');
    return png([
      pngChunk("iTXt", Buffer.concat([Buffer.from("XML:com.adobe.xmp\0\x01\0\0\0"), deflateSync(packet)])),
    ]);
  };
  expect(readHeader(bomb(1 << 20)).orientation).toBe(6);
  expect(readHeader(bomb(1 << 24)).orientation).toBe(1);
});

describe("a file of tiny parts is refused", () => {
  test("JPEG segments", async () => {
    const file = await readFile(`${folder}444.jpg`);
    const comments = Buffer.alloc(4 * 65_536, Buffer.of(0xff, 0xfe, 0, 2));
    expect(fact(Buffer.concat([file.subarray(0, 2), comments, file.subarray(2)]))).toMatch(
      /too many segments/,
    );
  });

  test("JPEG padding between segments is skipped in one step each", async () => {
    const file = await readFile(`${folder}444.jpg`);
    const padding = Buffer.alloc(1 << 20, 0xff);
    expect(fact(Buffer.concat([file.subarray(0, 2), padding, file.subarray(2)]))).toBe("it was read");
    const junk = Buffer.alloc(2 * 65_536, Buffer.of(0xff, 0));
    expect(fact(Buffer.concat([file.subarray(0, 2), junk, file.subarray(2)]))).toMatch(/too many segments/);
  });

  test("PNG chunks", () => {
    const empty = Buffer.alloc(12 * 65_536, pngChunk("prIv", Buffer.alloc(0)));
    expect(fact(png([empty]))).toMatch(/too many chunks/);
  });

  test("WebP chunks", async () => {
    const file = await readFile(`${folder}orientation_6.webp`);
    const empty = Buffer.alloc(8 * 65_536, Buffer.from("JUNK\0\0\0\0"));
    const larger = Buffer.concat([file, empty]);
    larger.writeUInt32LE(larger.length - 8, 4);
    expect(fact(larger)).toMatch(/too many chunks/);
  });

  test("GIF blocks", async () => {
    const file = await readFile(`${folder}palette.gif`);
    const palette = 13 + (3 << (((file[10] as number) & 7) + 1));
    const blocks = Buffer.alloc(2 * (1 << 20), Buffer.of(1, 0));
    const comment = Buffer.concat([Buffer.of(0x21, 0xfe), blocks, Buffer.of(0)]);
    const larger = Buffer.concat([file.subarray(0, palette), comment, file.subarray(palette)]);
    expect(fact(larger)).toMatch(/too many blocks/);
  });
});

test("lengths beyond the end of the file allocate no memory", () => {
  const longest = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  const file = png([]);
  file.set(longest, 33); // IDAT's length
  expect(readHeader(file).stream.length).toBeLessThan(file.length + 32);
  const webp = Buffer.from("RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff\x2f\0\0\0\0\0", "latin1");
  expect(readHeader(webp)).toMatchObject({ width: 1, height: 1 });
});
