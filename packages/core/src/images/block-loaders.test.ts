import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterEach, expect, test } from "vitest";
import { blockUnusedLoaders } from "./block-loaders.js";
import { decodeImage } from "./decode.js";

const folder = fileURLToPath(new URL("../../../../test/fixtures/images/pillow/", import.meta.url));
const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');

afterEach(() => sharp.unblock({ operation: ["VipsForeignLoad"] }));

test("the first image blocks the loaders of unsupported formats, not those of the four formats", async () => {
  blockUnusedLoaders();
  expect((await sharp(svg).metadata()).format).toBe("svg");
  for (const name of ["444.jpg", "cmyk.jpg", "rgb.png", "lossy.webp", "palette.gif"]) {
    expect((await decodeImage(await readFile(folder + name))).width).toBe(38);
  }
  await expect(sharp(svg).metadata()).rejects.toThrow(/unsupported image format/);
});

test("after the first image, loaders are blocked at once", async () => {
  await decodeImage(await readFile(`${folder}rgb.png`));
  blockUnusedLoaders();
  await expect(sharp(svg).metadata()).rejects.toThrow(/unsupported image format/);
});
