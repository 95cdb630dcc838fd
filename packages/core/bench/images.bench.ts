/**
 * Decoding, resizing and cutting, one thread each. Every image has a million pixels, so that the operations per second
 * (`hz`) are megapixels of the source per second.
 */
import { patchifyFrames, resizeFrame } from "@vitgraph/cuda-kernels";
import sharp from "sharp";
import { bench, describe } from "vitest";
import { decodeImage, processImage } from "../src/images/index.js";
import { QWEN3_VL_IMAGES } from "../src/models/qwen3-vl/preprocess.js";

sharp.concurrency(1);

const FROM = { height: 800, width: 1250 };
const photo = photograph(FROM);
const picture = () => sharp(photo, { raw: { ...FROM, channels: 3 } });
const FILES = {
  "JPEG, quality 92": await picture().jpeg({ quality: 92 }).toBuffer(),
  PNG: await picture().png().toBuffer(),
  "WebP, quality 80": await picture().webp({ quality: 80 }).toBuffer(),
};

describe("decode 1 megapixel", () => {
  for (const [name, bytes] of Object.entries(FILES)) {
    bench(name, async () => {
      await decodeImage(bytes);
    });
  }
});

describe.each([
  ["to a quarter of the area", { height: 416, width: 640 }],
  ["to nearly its size", { height: 800, width: 1248 }],
  ["to four times the area", { height: 1600, width: 2496 }],
])("resize 1 megapixel %s", (_, to) => {
  bench("resizeFrame", async () => {
    await resizeFrame(photo, FROM, to);
  });
  // Not the same arithmetic: its values differ from transformers'. It shows what a well-kept library takes.
  bench("sharp, cubic", async () => {
    await picture().resize(to.width, to.height, { fit: "fill", kernel: "cubic" }).raw().toBuffer();
  });
});

describe("1 megapixel to patches", () => {
  const processor = QWEN3_VL_IMAGES.withoutFile;
  const size = { height: 800, width: 1248 };
  const layout = { patchSize: 16, mergeSize: 2, temporalPatchSize: 1 };
  const resized = photo.subarray(0, size.height * size.width * 3);
  bench("patchifyFrames, of the right size already", async () => {
    await patchifyFrames([resized], size, layout);
  });
  bench("patchifyFrames, with its resize", async () => {
    await patchifyFrames([photo], FROM, { ...layout, resizeTo: size });
  });
  bench("processImage, from a JPEG file", async () => {
    await processImage(FILES["JPEG, quality 92"], processor);
  });
});

/** Smooth shading with some noise, which codecs treat as they do photographs. */
function photograph({ height, width }: typeof FROM): Uint8Array {
  let state = 1;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 24) / 16 - 8;
  };
  return Uint8Array.from({ length: height * width * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    const shade = 127 + 90 * Math.sin(x / (40 + 9 * (i % 3))) * Math.cos(y / 60) + noise();
    return Math.min(Math.max(Math.round(shade), 0), 255);
  });
}
