import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";
import { VitgraphError } from "@vitgraph/errors";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SafetensorsFile } from "../weights/safetensors.js";
import { DEFAULT_MAX_PIXELS, decodeImage, openImage } from "./decode.js";

const folder = fileURLToPath(new URL("../../../../test/fixtures/images/", import.meta.url));

/** A PNG file, chunk by chunk, so that its header can lie. `rows` are whole scan lines, without their filter bytes. */
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

describe('pixels are what Pillow\'s convert("RGB") makes of the same file', () => {
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

test("16-bit grey keeps its high byte, where Pillow would make all of it white", async () => {
  const samples = Buffer.alloc(8);
  for (const [x, sample] of [0x0000, 0x00ff, 0x80ff, 0xffff].entries()) samples.writeUInt16BE(sample, x * 2);
  const { rgb } = await decodeImage(png({ width: 4, height: 1, bitDepth: 16, colourType: 0 }, [samples]));
  expect([...rgb]).toEqual([0x00, 0x00, 0x80, 0xff].flatMap((level) => [level, level, level]));
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

test("opening reads the header alone: format and upright size, also where the pixels are missing", async () => {
  const upright = await openImage(await readFile(`${folder}pillow/orientation_1.jpg`));
  const turned = await openImage(await readFile(`${folder}pillow/orientation_6.webp`));
  expect(upright).toMatchObject({ format: "jpeg", width: 38, height: 25 });
  expect(turned).toMatchObject({ format: "webp", width: 25, height: 38 });
  const cut = await openImage(png({ width: 9, height: 5 }, rows(9, 2)));
  expect(cut).toMatchObject({ format: "png", width: 9, height: 5 });
  expect((await failure(cut.decode())).code).toBe("VG_IMAGE_INVALID");
});

test("bytes in the middle of a larger buffer are decoded alone", async () => {
  const picture = rows(4, 3);
  const file = png({ width: 4, height: 3 }, picture);
  const larger = Buffer.concat([Buffer.from("before"), file, Buffer.from("after")]);
  const { rgb } = await decodeImage(new Uint8Array(larger.buffer, larger.byteOffset + 6, file.length));
  expect(Buffer.from(rgb)).toEqual(Buffer.concat(picture));
});

describe("what is no image", () => {
  test("a path, or nothing, in place of bytes", async () => {
    const path = await failure(decodeImage("photo.jpg" as unknown as Uint8Array));
    expect(path.code).toBe("VG_ARGUMENT_INVALID");
    expect(path.message).toBe(
      "the image is of type string, not bytes: pass the content of its file as a Uint8Array",
    );
    const nothing = await failure(decodeImage(undefined as unknown as Uint8Array));
    expect(nothing.fact).toBe("the image is undefined, not bytes");
  });

  test("none at all", async () => {
    const error = await failure(decodeImage(new Uint8Array()));
    expect(error.code).toBe("VG_IMAGE_INVALID");
    expect(error.message).toBe(
      "the image has no bytes: check that its file was written or downloaded to the end",
    );
  });

  test("text renamed to .png", async () => {
    const error = await failure(decodeImage(Buffer.from("<!DOCTYPE html><title>404</title>")));
    expect(error.code).toBe("VG_IMAGE_INVALID");
    expect(error.message).toBe(
      'the bytes are no image that can be read: they begin with "<!DOCTYPE html><…": ' +
        "pass JPEG, PNG, WebP or GIF, whatever the file is called",
    );
  });

  test("a format that the library could open, but that is not one of the four", async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
    const tiff = await sharp({ create: { width: 2, height: 2, channels: 3, background: "red" } })
      .tiff()
      .toBuffer();
    expect((await failure(decodeImage(Buffer.from(svg)))).fact).toContain('begin with "<svg xmlns=');
    expect((await failure(decodeImage(tiff))).fact).toMatch(/begin with 49 49 2a 00 /);
  });

  test.each([
    ["rgb.png", "PNG"],
    ["444.jpg", "JPEG"],
    ["progressive.jpg", "JPEG"],
    ["lossless.webp", "WebP"],
    ["palette.gif", "GIF"],
  ])("%s, cut off anywhere", async (name, format) => {
    const whole = await readFile(`${folder}pillow/${name}`);
    // The last sixteenth is left out: a PNG's or GIF's trailer may be missing, and Pillow takes them without.
    for (let sixteenths = 1; sixteenths < 16; sixteenths++) {
      const length = Math.floor((whole.length * sixteenths) / 16);
      const error = await failure(decodeImage(whole.subarray(0, length)));
      expect(error.code).toBe("VG_IMAGE_INVALID");
      expect(error.fact).toMatch(new RegExp(`^${format} image of ${length} bytes is truncated or damaged`));
      expect(error.remedy).toBe("copy or download it again");
    }
  });

  test("a JPEG whose end marker alone is missing, as Pillow refuses it", async () => {
    const whole = await readFile(`${folder}pillow/444.jpg`);
    expect((await failure(decodeImage(whole.subarray(0, -2)))).code).toBe("VG_IMAGE_INVALID");
  });

  test("signatures with nothing behind them", async () => {
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
        "make it smaller, or raise maxPixels where its source is trusted",
    );
    expect(error.details).toEqual({ width: 100_000, height: 100_000, maxPixels: 178_956_970 });
  });

  test("holds for sizes that the PNG library itself cannot take", async () => {
    const side = 2 ** 31 - 1;
    const error = await failure(openImage(png({ width: side, height: side }, rows(2, 2))));
    expect(error.code).toBe("VG_IMAGE_TOO_LARGE");
  });

  test("is the caller's where one is given, and counts the pixel on the limit as allowed", async () => {
    const file = png({ width: 9, height: 5 }, rows(9, 5));
    expect((await decodeImage(file, { maxPixels: 45 })).width).toBe(9);
    expect((await failure(decodeImage(file, { maxPixels: 44 }))).code).toBe("VG_IMAGE_TOO_LARGE");
  });

  test.each(["444.jpg", "lossless.webp", "palette.gif"])("is checked for %s too", async (name) => {
    const bytes = await readFile(`${folder}pillow/${name}`);
    expect((await failure(decodeImage(bytes, { maxPixels: 25 * 38 - 1 }))).code).toBe("VG_IMAGE_TOO_LARGE");
  });

  test("must be a positive number", async () => {
    const file = png({ width: 9, height: 5 }, rows(9, 5));
    expect((await failure(decodeImage(file, { maxPixels: Number.NaN }))).code).toBe("VG_ARGUMENT_INVALID");
  });
});
