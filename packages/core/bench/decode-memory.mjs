/**
 * The peak memory of decoding, by kind of image, beside the estimate of the header (`decodeBytes`). Each image is decoded
 * in a process of its own, which prints how far its resident memory rose. Exits with 1 if an estimate is too low.
 *
 *     pnpm build && node bench/decode-memory.mjs [--side 5000]
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { decodeImage, openImage } from "../dist/index.js";
import { zeroPng } from "../dist/testing.js";

const red = (side, channels = 3) =>
  sharp({
    create: { width: side, height: side, channels, background: { r: 200, g: 30, b: 10, alpha: 0.5 } },
  });
/** Pixels that differ, so that no decoder gets away with one row. */
const noisy = (side) => {
  const rgb = Buffer.alloc(side * side * 3);
  for (let i = 0; i < rgb.length; i++) rgb[i] = (i * 7) ^ (i >> 9);
  return sharp(rgb, { raw: { width: side, height: side, channels: 3 } });
};
const turned = (image) => image.withMetadata({ orientation: 6 });

const KINDS = {
  "JPEG, baseline": (side) => noisy(side).jpeg().toBuffer(),
  "JPEG, baseline, turned": (side) => turned(noisy(side)).jpeg().toBuffer(),
  "JPEG, progressive 4:2:0": (side) => noisy(side).jpeg({ progressive: true }).toBuffer(),
  "JPEG, progressive 4:4:4": (side) =>
    noisy(side).jpeg({ progressive: true, chromaSubsampling: "4:4:4" }).toBuffer(),
  "JPEG, progressive 4:4:4, turned": (side) =>
    turned(noisy(side)).jpeg({ progressive: true, chromaSubsampling: "4:4:4" }).toBuffer(),
  "JPEG, grey": (side) => noisy(side).toColourspace("b-w").jpeg().toBuffer(),
  "JPEG, CMYK": (side) => noisy(side).toColourspace("cmyk").jpeg().toBuffer(),
  "PNG, RGB": (side) => noisy(side).png({ compressionLevel: 1 }).toBuffer(),
  "PNG, RGB, turned": (side) => turned(noisy(side)).png({ compressionLevel: 1 }).toBuffer(),
  "PNG, RGB, interlaced": (side) => noisy(side).png({ compressionLevel: 1, progressive: true }).toBuffer(),
  "PNG, palette": (side) => red(side).png({ palette: true }).toBuffer(),
  "PNG, RGBA": async (side) => zeros(side, 8, 6, false),
  "PNG, RGBA, interlaced": async (side) => zeros(side, 8, 6, true),
  "PNG, RGBA of 16 bits": async (side) => zeros(side, 16, 6, false),
  "PNG, RGBA of 16 bits, interlaced": async (side) => zeros(side, 16, 6, true),
  "PNG, grey of 16 bits": async (side) => zeros(side, 16, 0, false),
  "PNG, grey of 16 bits, interlaced": async (side) => zeros(side, 16, 0, true),
  "PNG without its last checksum": async (side) => zeros(side, 8, 2, false, 4),
  "WebP, lossy": (side) => noisy(side).webp({ effort: 0 }).toBuffer(),
  "WebP, lossy, RGBA": (side) => red(side, 4).webp({ effort: 0 }).toBuffer(),
  "WebP, lossless": (side) => noisy(side).webp({ lossless: true, effort: 0 }).toBuffer(),
  "WebP, lossless, one colour": (side) => red(side, 4).webp({ lossless: true, effort: 0 }).toBuffer(),
  "WebP, animated": (side) => animated(side).webp({ lossless: true, effort: 0 }).toBuffer(),
  GIF: (side) => noisy(side).gif({ effort: 1 }).toBuffer(),
  "GIF, animated": (side) => animated(side).gif({ effort: 1 }).toBuffer(),
};

const { values } = parseArgs({
  options: {
    side: { type: "string", default: "5000" },
    file: { type: "string" },
    background: { type: "boolean" },
  },
});

if (values.file !== undefined) {
  await decodeInChild(values.file, values.background === true);
} else {
  await compareAll(Number(values.side));
}

async function decodeInChild(file, background) {
  const options = { maxDecodeBytes: Infinity, ...(background ? { background: [1, 2, 3] } : {}) };
  const tiny = await red(16).png().toBuffer();
  await decodeImage(tiny, options); // loads the libraries
  const bytes = new Uint8Array(readFileSync(file));
  const before = peakBytes();
  const image = await openImage(bytes, options);
  await image.decode();
  console.log(JSON.stringify({ measured: peakBytes() - before, estimate: image.decodeBytes }));
}

async function compareAll(side) {
  const folder = mkdtempSync(join(tmpdir(), "decode-memory-"));
  try {
    console.log("kind | measured, bytes a pixel | estimated");
    for (const [kind, make] of Object.entries(KINDS)) {
      const file = join(folder, "image");
      writeFileSync(file, await make(side));
      for (const background of /RGBA|WebP/.test(kind) ? [false, true] : [false]) {
        const { measured, estimate } = inChild(file, background);
        const pixels = side * side;
        const low = measured > estimate;
        if (low) process.exitCode = 1;
        const name = background ? `${kind}, on a background` : kind;
        console.log(
          `${name} | ${(measured / pixels).toFixed(1)} | ${(estimate / pixels).toFixed(1)}${low ? " (too low)" : ""}`,
        );
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function inChild(file, background) {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), "--file", file];
  const output = execFileSync(process.execPath, background ? [...args, "--background"] : args, {
    encoding: "utf8",
  });
  return JSON.parse(output.trim().split("\n").at(-1));
}

function peakBytes() {
  const [, kib] = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
  return Number(kib) * 1024;
}

/** Two frames, one above the other for sharp. */
function animated(side) {
  const two = Buffer.alloc(side * side * 2 * 3);
  for (let i = 0; i < two.length; i++) two[i] = (i * 7) ^ (i >> 9);
  return sharp(two, { raw: { width: side, height: side * 2, channels: 3, pageHeight: side } });
}

function zeros(side, bitDepth, colourType, interlaced, cutBytes = 0) {
  return zeroPng({ width: side, height: side, bitDepth, colourType, interlaced }, cutBytes);
}
