import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync, gzipSync } from "node:zlib";
import { VitgraphError } from "@vitgraph/errors";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { SafetensorsFile } from "../weights/safetensors.js";
import { DEFAULT_MAX_DECODE_BYTES, DEFAULT_MAX_PIXELS, decodeImage, openImage } from "./decode.js";
import type { PngHeader } from "./image-header.js";
import { countScans } from "./jpeg-header.js";
import { readHeader } from "./read-header.js";
import { restorePng } from "./restore-png.js";

const folder = fileURLToPath(new URL("../../../../test/fixtures/images/", import.meta.url));

/** A PNG file whose header need not match its data. `rows` are scan lines without filter bytes. */
function png(
  header: { width: number; height: number; bitDepth?: number; colourType?: number },
  rows: readonly Uint8Array[],
  extra: readonly (readonly [string, Uint8Array])[] = [],
): Uint8Array {
  const { width, height, bitDepth = 8, colourType = 2 } = header;
  const ihdr = Buffer.alloc(13);
  ihdr.writeUInt32BE(width, 0);
  ihdr.writeUInt32BE(height, 4);
  ihdr[8] = bitDepth;
  ihdr[9] = colourType;
  const data = deflateSync(Buffer.concat(rows.flatMap((row) => [Buffer.of(0), row])));
  const chunk = ([kind, body]: readonly [string, Uint8Array]) => {
    const checked = Buffer.concat([Buffer.from(kind, "latin1"), body]);
    const sizes = Buffer.alloc(8);
    sizes.writeUInt32BE(body.length, 0);
    sizes.writeUInt32BE(crc32(checked), 4);
    return Buffer.concat([sizes.subarray(0, 4), checked, sizes.subarray(4)]);
  };
  const chunks = [
    ["IHDR", ihdr] as const,
    ...extra,
    ["IDAT", data] as const,
    ["IEND", Buffer.alloc(0)] as const,
  ];
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunks.map(chunk)]);
}

/** RGB rows of a picture in which every pixel differs from its neighbours. */
function rows(width: number, height: number): Uint8Array[] {
  return Array.from({ length: height }, (_, y) =>
    Uint8Array.from({ length: width * 3 }, (_, i) => (i * 7 + y * 31 + (i % 3) * 90) % 256),
  );
}

async function failure(work: Promise<unknown>): Promise<VitgraphError> {
  const error = await work.then(
    () => expect.unreachable("it succeeded"),
    (reason: unknown) => reason,
  );
  if (!VitgraphError.is(error)) throw error;
  return error;
}

describe('pixels equal those of Pillow\'s convert("RGB")', () => {
  let pillow: SafetensorsFile;
  beforeAll(async () => {
    pillow = await SafetensorsFile.open(`${folder}pillow/expected.safetensors`);
  });
  afterAll(() => pillow[Symbol.asyncDispose]());

  const files = readdirSync(`${folder}pillow`).filter((name) => /\.(png|jpg|webp|gif)$/.test(name));
  test.each(files)("%s", async (name) => {
    const { info, bytes } = await pillow.read(name);
    const { height, width, rgb } = await decodeImage(await readFile(`${folder}pillow/${name}`));
    expect([height, width, 3]).toEqual(info.shape);
    expect(Buffer.compare(rgb, bytes)).toBe(0);
  });
});

test("16-bit grey is clipped at 255, as in Pillow: depth maps and masks use the low values", async () => {
  const samples = Buffer.alloc(8);
  for (const [x, sample] of [0x0000, 0x00c8, 0x0100, 0xffff].entries()) samples.writeUInt16BE(sample, x * 2);
  const { rgb } = await decodeImage(png({ width: 4, height: 1, bitDepth: 16, colourType: 0 }, [samples]));
  expect([...rgb]).toEqual([0x00, 0xc8, 0xff, 0xff].flatMap((level) => [level, level, level]));
});

test("a colour profile changes nothing", async () => {
  const { icc } = await sharp({ create: { width: 1, height: 1, channels: 3, background: "red" } })
    .withIccProfile("p3")
    .png()
    .toBuffer()
    .then((bytes) => sharp(bytes).metadata());
  const iccp = Buffer.concat([Buffer.from("p3\0\0", "latin1"), deflateSync(icc as Buffer)]);
  const picture = rows(9, 5);
  const { rgb } = await decodeImage(png({ width: 9, height: 5 }, picture, [["iCCP", iccp]]));
  expect(Buffer.from(rgb)).toEqual(Buffer.concat(picture));
});

test("opening reads only the header: format and upright size, even if the pixels are missing", async () => {
  const upright = await openImage(await readFile(`${folder}pillow/orientation_1.jpg`));
  const rotated = await openImage(await readFile(`${folder}pillow/orientation_6.webp`));
  expect(upright).toMatchObject({ format: "jpeg", width: 38, height: 25 });
  expect(rotated).toMatchObject({ format: "webp", width: 25, height: 38 });
  const cut = await openImage(png({ width: 9, height: 5 }, rows(9, 2)).subarray(0, -30));
  expect(cut).toMatchObject({ format: "png", width: 9, height: 5 });
  expect((await failure(cut.decode())).code).toBe("VG_IMAGE_INVALID");
});

test("a view of a larger buffer is decoded without the bytes around it", async () => {
  const picture = rows(4, 3);
  const file = png({ width: 4, height: 3 }, picture);
  const larger = Buffer.concat([Buffer.from("before"), file, Buffer.from("after")]);
  const { rgb } = await decodeImage(new Uint8Array(larger.buffer, larger.byteOffset + 6, file.length));
  expect(Buffer.from(rgb)).toEqual(Buffer.concat(picture));
});

describe("bytes that are not an image", () => {
  test("a path or undefined instead of bytes", async () => {
    const path = await failure(decodeImage("photo.jpg" as unknown as Uint8Array));
    expect(path.code).toBe("VG_ARGUMENT_INVALID");
    expect(path.message).toBe(
      'the image is "photo.jpg", not bytes: pass the content of its file as a Uint8Array',
    );
    const nothing = await failure(decodeImage(undefined as unknown as Uint8Array));
    expect(nothing.fact).toBe("the image is undefined, not bytes");
  });

  test("an empty array", async () => {
    const error = await failure(decodeImage(new Uint8Array()));
    expect(error.code).toBe("VG_IMAGE_INVALID");
    expect(error.message).toBe(
      "the image has no bytes: check that its file was written or downloaded to the end",
    );
  });

  const named: readonly (readonly [string, string | Buffer, string])[] = [
    ["HEIC", "\0\0\0\x18ftypheic\0\0\0\0", "convert it to PNG or JPEG first"],
    ["AVIF", "\0\0\0\x1cftypavif\0\0\0\0", "convert it to PNG or JPEG first"],
    [
      "MP4 or QuickTime video",
      "\0\0\0\x20ftypisom",
      "pass it as { video: bytes }, or to vitgraph encode with --video",
    ],
    ["JPEG XL", "\xff\x0a\0", "convert it to PNG or JPEG first"],
    ["JPEG XL", "\0\0\0\x0cJXL \r\n", "convert it to PNG or JPEG first"],
    ["BMP", "BM\x8a\0\0\0\0\0\0\0\x8a", "convert it to PNG or JPEG first"],
    ["TIFF", "II*\0\x08\0\0\0", "convert it to PNG or JPEG first"],
    ["SVG", '<svg xmlns="http://www.w3.org/2000/svg"/>', "render it to PNG first"],
    ["SVG", '<?xml version="1.0"?>\n<!-- logo -->\n<svg/>', "render it to PNG first"],
    ["PDF", "%PDF-1.7", "render it to PNG first"],
    ["data URL", "data:image/png;base64,iVBORw0KGgo", "decode it, and pass the bytes of the image"],
    ["URL", "https://example.com/cat.jpg", "download it, and pass the bytes of the image"],
    ["base64 text", "/9j/4AAQSkZJRgABAQ", "decode it, and pass the bytes of the image"],
    [
      "HTML",
      "<!DOCTYPE html><title>404</title>",
      "check the address that it was downloaded from, and whether that needs a login",
    ],
    [
      "JSON",
      '{"error": "not found"}',
      "check the address that it was downloaded from, and whether that needs a login",
    ],
    ["Git LFS pointer", "version https://git-lfs.github.com/spec/v1", "fetch the file with git lfs pull"],
    ["gzip data", gzipSync("x"), "unpack it, and pass the image inside"],
    ["ZIP archive", "PK\x03\x04", "unpack it, and pass the image inside"],
  ];
  test.each(named)("%s is named in the error, with a remedy", async (format, content, remedy) => {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    const error = await failure(decodeImage(bytes));
    expect(error.code).toBe("VG_IMAGE_INVALID");
    expect(error.message).toBe(
      `unsupported image format (${format}): ${remedy}; JPEG, PNG, WebP and GIF are supported`,
    );
  });

  test("unknown bytes are quoted in the error", async () => {
    expect((await failure(decodeImage(Buffer.from("some words that are no image")))).message).toBe(
      'unknown image format: 28 bytes that begin with "some words that …": pass JPEG, PNG, WebP or GIF',
    );
    expect((await failure(decodeImage(Buffer.of(0, 1, 2, 255)))).fact).toBe(
      "unknown image format: 4 bytes that begin with 00 01 02 ff",
    );
  });

  test.each(["GIF88a", "GIF80a", "GIF8"])("%s is not a GIF signature", async (signature) => {
    const bytes = await readFile(`${folder}pillow/palette.gif`);
    bytes.write(signature.padEnd(6, "\0"), 0, "latin1");
    expect((await failure(decodeImage(bytes))).fact).toMatch(/^unknown image format/);
  });

  test("an Apple PNG, whose first chunk is not IHDR", async () => {
    const file = png({ width: 9, height: 5 }, rows(9, 5));
    const cgbi = Buffer.from("\0\0\0\x04CgBI\x50\0\x20\x02\x2b\xd5\xb3\x7f", "latin1");
    const apple = Buffer.concat([file.subarray(0, 8), cgbi, file.subarray(8)]);
    expect((await failure(openImage(apple))).fact).toBe(
      `PNG image of ${apple.length} bytes is truncated or damaged ` +
        "(its first chunk is CgBI, not IHDR: only Apple's tools read such a PNG)",
    );
  });

  test.each([
    ["rgb.png", "PNG"],
    ["444.jpg", "JPEG"],
    ["progressive.jpg", "JPEG"],
    ["lossless.webp", "WebP"],
    ["palette.gif", "GIF"],
  ])("%s, truncated at any length", async (name, format) => {
    const whole = await readFile(`${folder}pillow/${name}`);
    // The last sixteenth is not cut: Pillow accepts a PNG or GIF without its trailer.
    for (let sixteenths = 1; sixteenths < 16; sixteenths++) {
      const length = Math.floor((whole.length * sixteenths) / 16);
      const error = await failure(decodeImage(whole.subarray(0, length)));
      expect(error.code).toBe("VG_IMAGE_INVALID");
      expect(error.fact).toMatch(new RegExp(`^${format} image of ${length} bytes is truncated or damaged`));
      expect(error.remedy).toBe("copy or download it again");
    }
  });

  test("a JPEG without its end marker is refused, as in Pillow", async () => {
    const whole = await readFile(`${folder}pillow/444.jpg`);
    expect((await failure(decodeImage(whole.subarray(0, -2)))).code).toBe("VG_IMAGE_INVALID");
  });

  test("signatures without further bytes", async () => {
    for (const start of ["\xff\xd8\xff", "\x89PNG\r\n\x1a\n", "RIFF\x10\0\0\0WEBP", "GIF89a"]) {
      const error = await failure(decodeImage(Buffer.from(start, "latin1")));
      expect(error.code).toBe("VG_IMAGE_INVALID");
    }
  });

  test("a byte changed inside a PNG", async () => {
    const file = Buffer.from(png({ width: 9, height: 5 }, rows(9, 5)));
    file[60] = (file[60] as number) ^ 0xff;
    expect((await failure(decodeImage(file))).code).toBe("VG_IMAGE_INVALID");
  });
});

describe("the limit on pixels", () => {
  test("is Pillow's by default, and is checked before anything is decoded", async () => {
    expect(DEFAULT_MAX_PIXELS).toBe(178_956_970);
    const error = await failure(decodeImage(png({ width: 100_000, height: 100_000 }, rows(2, 2))));
    expect(error.code).toBe("VG_IMAGE_TOO_LARGE");
    expect(error.message).toBe(
      "image of 100000 × 100000 pixels is above the limit of 178956970 pixels: " +
        "make it smaller, or raise maxPixels if its source is trusted",
    );
    expect(error.details).toEqual({ width: 100_000, height: 100_000, maxPixels: 178_956_970 });
  });

  test("holds for sizes beyond the limits of libpng", async () => {
    const side = 2 ** 31 - 1;
    const error = await failure(openImage(png({ width: side, height: side }, rows(2, 2))));
    expect(error.code).toBe("VG_IMAGE_TOO_LARGE");
  });

  test("can be set by the caller, and allows exactly that many pixels", async () => {
    const file = png({ width: 9, height: 5 }, rows(9, 5));
    expect((await decodeImage(file, { maxPixels: 45 })).width).toBe(9);
    expect((await failure(decodeImage(file, { maxPixels: 44 }))).code).toBe("VG_IMAGE_TOO_LARGE");
  });

  test.each(["444.jpg", "lossless.webp", "palette.gif"])("is checked for %s", async (name) => {
    const bytes = await readFile(`${folder}pillow/${name}`);
    expect((await failure(decodeImage(bytes, { maxPixels: 25 * 38 - 1 }))).code).toBe("VG_IMAGE_TOO_LARGE");
  });

  test("must be a positive number", async () => {
    const file = png({ width: 9, height: 5 }, rows(9, 5));
    expect((await failure(decodeImage(file, { maxPixels: Number.NaN }))).code).toBe("VG_ARGUMENT_INVALID");
  });
});

test("a PNG whose data inflates to more than its rows is read only up to the last row", async () => {
  const header = { width: 9, height: 5 };
  const [picture, zeros] = [
    Buffer.concat(rows(9, 5).flatMap((row) => [Buffer.of(0), row])),
    Buffer.alloc(1 << 24),
  ];
  const stream = deflateSync(Buffer.concat([picture, zeros]));
  const file = png(header, []);
  const idat = file.length - 12 - 8 - deflateSync(Buffer.alloc(0)).length - 4;
  const size = Buffer.alloc(4);
  size.writeUInt32BE(stream.length);
  // A wrong checksum at the end of the stream makes libpng refuse it.
  const parts = [file.subarray(0, idat), size, Buffer.from("IDAT"), stream.subarray(0, -4), Buffer.alloc(8)];
  const opened = readHeader(Buffer.concat(parts));
  const restored = await restorePng(opened as PngHeader);
  expect(restored.length).toBeLessThan(400);
  expect(Buffer.from((await decodeImage(Buffer.concat(parts))).rgb)).toEqual(Buffer.concat(rows(9, 5)));
});

describe("the limit on memory", () => {
  /** A PNG that has a header but no rows. */
  const header = (side: number, bitDepth: number, interlaced: boolean) => {
    const file = Buffer.from(png({ width: side, height: side, bitDepth, colourType: 6 }, []));
    file[28] = interlaced ? 1 : 0;
    file.writeUInt32BE(crc32(file.subarray(12, 29)), 29);
    return file;
  };

  test("is a gibibyte by default, and is checked from the header", async () => {
    expect(DEFAULT_MAX_DECODE_BYTES).toBe(2 ** 30);
    expect((await openImage(header(12_000, 8, false))).decodeBytes).toBeLessThan(2 ** 30);
    const error = await failure(openImage(header(12_000, 16, true)));
    expect(error.code).toBe("VG_IMAGE_TOO_LARGE");
    expect(error.message).toBe(
      "decoding this png image of 12000 × 12000 pixels takes 1728 MiB, above the limit of 1024 MiB: " +
        "make it smaller, save it without interlacing or progressive scans, or raise maxDecodeBytes",
    );
  });

  test("can be set by the caller", async () => {
    const file = png({ width: 9, height: 5 }, rows(9, 5));
    const { decodeBytes } = await openImage(file);
    expect((await openImage(file, { maxDecodeBytes: decodeBytes })).width).toBe(9);
    const error = await failure(openImage(file, { maxDecodeBytes: decodeBytes - 1 }));
    expect(error.code).toBe("VG_IMAGE_TOO_LARGE");
    expect((await failure(openImage(file, { maxDecodeBytes: 0 }))).code).toBe("VG_ARGUMENT_INVALID");
  });

  test("includes a progressive JPEG's coefficients, even if the file has no coefficient data", async () => {
    const file = await readFile(`${folder}pillow/progressive.jpg`);
    const baseline = await readFile(`${folder}pillow/420.jpg`);
    const difference = async (side: number) => {
      const sizes = [file, baseline].map((bytes) => {
        const larger = Buffer.from(bytes);
        const frame = larger.indexOf(Buffer.of(0xff, bytes === file ? 0xc2 : 0xc0));
        larger.writeUInt16BE(side, frame + 5);
        larger.writeUInt16BE(side, frame + 7);
        return openImage(larger).then(({ decodeBytes }) => decodeBytes - bytes.length);
      });
      const [progressive, plain] = (await Promise.all(sizes)) as [number, number];
      return progressive - plain;
    };
    // 16 bits for each sample; 4:2:0 has 1.5 samples per pixel
    expect(await difference(1600)).toBe(1600 * 1600 * 1.5 * 2);
  });
});

describe("the limit on the scans of a JPEG", () => {
  /** Repeats the last scan. The decoder would refuse such a file, but the limit is checked first. */
  const withScans = async (count: number) => {
    const file = await readFile(`${folder}pillow/progressive.jpg`);
    const last = file.lastIndexOf(Buffer.of(0xff, 0xda));
    const scans = file.toString("latin1").split("\xff\xda").length - 1;
    const scan = file.subarray(last, -2);
    return Buffer.concat([file.subarray(0, -2), ...Array(count - scans).fill(scan), file.subarray(-2)]);
  };

  test("is 16 × maxPixels pixels in all scans", async () => {
    const pixels = 38 * 25;
    const file = await withScans(64);
    expect((await openImage(file, { maxPixels: pixels * 4 })).format).toBe("jpeg");
    const error = await failure(openImage(await withScans(65), { maxPixels: pixels * 4 }));
    expect(error.code).toBe("VG_IMAGE_TOO_LARGE");
    expect(error.message).toBe(
      "JPEG image of 38 × 25 pixels has more than 64 scans: " +
        "save it again as a baseline JPEG, or raise maxPixels if its source is trusted",
    );
  });

  test("counts only markers, not equal bytes within a segment or after the picture", async () => {
    const file = await withScans(12);
    const scan = file.indexOf(Buffer.of(0xff, 0xda));
    // A comment with a scan's marker and an end marker, then padding.
    const comment = Buffer.of(0xff, 0xfe, 0, 8, 0xff, 0xda, 0xff, 0xd9, 0xff, 0xda, 0xff, 0xff);
    const video = Buffer.alloc(1 << 10, Buffer.of(0xff, 0xda));
    const stream = Buffer.concat([file.subarray(0, scan), comment, file.subarray(scan), video]);
    expect(await countScans(stream, 1000)).toBe(12);
    expect(await countScans(stream, 5)).toBe(6);
  });

  test("counting a long scan yields to the event loop", async () => {
    const file = await withScans(12);
    const stuffed = Buffer.alloc(1 << 18, Buffer.of(0xff, 0));
    const turns = vi.spyOn(globalThis, "setImmediate");
    const stream = Buffer.concat([file.subarray(0, -2), stuffed, file.subarray(-2)]);
    expect(await countScans(stream, 1000)).toBe(12);
    expect(turns.mock.calls.length).toBe(2);
    turns.mockRestore();
  });
});

test("bytes that change after opening don't change the image: the limits hold for the pixels", async () => {
  const small = png({ width: 9, height: 5 }, rows(9, 5));
  const large = png({ width: 90, height: 50 }, rows(90, 50));
  const memory = new Uint8Array(large.length);
  memory.set(small);
  const opened = openImage(memory, { maxPixels: 45 });
  memory.set(large);
  const { width, height, rgb } = await (await opened).decode();
  expect([width, height]).toEqual([9, 5]);
  expect(Buffer.from(rgb)).toEqual(Buffer.concat(rows(9, 5)));
});

test("bytes in shared memory are copied before they are read", async () => {
  const file = png({ width: 9, height: 5 }, rows(9, 5));
  const shared = new Uint8Array(new SharedArrayBuffer(file.length));
  shared.set(file);
  expect(Buffer.from((await decodeImage(shared)).rgb)).toEqual(Buffer.concat(rows(9, 5)));
});

describe("a background", () => {
  const rgba = rows(8, 3).map((row) => row.subarray(0, 24)); // 6 pixels of 4 channels
  const file = png({ width: 6, height: 3, colourType: 6 }, rgba);

  test("shows through an alpha channel, rounded as Pillow's paste", async () => {
    const { rgb } = await decodeImage(file, { background: [255, 128, 0] });
    const expected = rgba.flatMap((row) =>
      Array.from({ length: 18 }, (_, index) => {
        const alpha = row[Math.floor(index / 3) * 4 + 3] as number;
        const colour = row[Math.floor(index / 3) * 4 + (index % 3)] as number;
        return Math.round((colour * alpha + ([255, 128, 0][index % 3] as number) * (255 - alpha)) / 255);
      }),
    );
    expect([...rgb]).toEqual(expected);
  });

  test("changes nothing in an image without alpha channel, or with one transparent colour", async () => {
    for (const name of [
      "rgb.png",
      "grey_alpha.png",
      "palette_alpha.png",
      "transparent.gif",
      "lossy.webp",
      "444.jpg",
    ]) {
      const bytes = await readFile(`${folder}pillow/${name}`);
      expect(await decodeImage(bytes, { background: [255, 255, 255] })).toEqual(await decodeImage(bytes));
    }
  });

  test.each([[[1, 2]], [[1, 2, 256]], [[0.5, 0, 0]], ["white"]])(
    "must be a colour: %j is none",
    async (background) => {
      const error = await failure(decodeImage(file, { background: background as never }));
      expect(error.message).toBe(
        "background is not a colour: give red, green and blue from 0 to 255, such as [255, 255, 255]",
      );
    },
  );
});
