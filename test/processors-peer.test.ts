/**
 * Images of drawn sizes and formats have the grids and pixels that transformers' own processors give, in every family that
 * transformers has. Needs a Python with torch, torchvision, transformers, safetensors and Pillow: VITGRAPH_PYTHON, or python3.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel, processImage, SafetensorsFile } from "@vitgraph/core";
import fc from "fast-check";
import sharp, { type Sharp } from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fixture, gridsOf, levelsApart, readFloats, readGrids } from "./fixtures.js";

const FAMILIES = [
  ...["qwen2-vl", "qwen2-5-vl", "qwen2-5-omni", "qwen3-5", "qwen3-omni", "exaone4-5", "gemma3"],
  ...["gemma4", "gemma4-unified", "glm4v", "glm-ocr", "glm5-next", "hunyuan-vl", "idefics3", "smolvlm"],
  ...["internvl", "qianfan-ocr", "kimi-k25", "lfm2-vl", "llama4", "llava", "llava-onevision"],
  ...["llava-next", "granite-vision", "minimax-m3", "muse-glimmer"],
  ...["minicpmv4-6", "mistral3", "lighton-ocr", "paddleocr-vl", "pixtral", "ernie4-5-vl"],
  ...["step3p7", "step3-vl", "cohere2-vision", "aya-vision", "paligemma", "t5gemma2"],
];

const FORMATS: Readonly<Record<string, (image: Sharp) => Sharp>> = {
  png: (image) => image.png(),
  "grey.png": (image) => image.greyscale().png(),
  "palette.png": (image) => image.png({ palette: true, colours: 16 }),
  "alpha.png": (image) => image.ensureAlpha(0.5).png(),
  "grey-alpha.png": (image) => image.greyscale().ensureAlpha(0.5).toColourspace("b-w").png(),
  "16-bit.png": (image) => image.toColourspace("rgb16").png(),
  "cmyk.jpeg": (image) => image.toColourspace("cmyk").jpeg(),
  "turned.jpeg": (image) => image.withMetadata({ orientation: 6 }).jpeg(),
  webp: (image) => image.webp({ lossless: true }),
};

const python = process.env.VITGRAPH_PYTHON ?? "python3";
const script = fixture("process_images.py");
const usable = spawnSync(python, [script], { stdio: "ignore" }).status === 0;
if (!usable) console.warn(`skipped: ${python} has no transformers 5.17, or not what it needs for images`);

describe.skipIf(!usable)("the grid and every pixel are transformers'", () => {
  let directory: string;
  let images: readonly string[];
  let answers: SafetensorsFile;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "vitgraph-processors-"));
    images = await drawImages(directory);
    const checkpoints = FAMILIES.map((family) => fixture(`models/${family}-tiny`));
    const output = join(directory, "answers.safetensors");
    const cases = JSON.stringify({ checkpoints, images });
    const { stderr, status } = spawnSync(python, [script, output, cases], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    answers = await SafetensorsFile.open(output);
  }, 300_000);
  afterAll(async () => {
    await answers?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  test.each([...FAMILIES.entries()])("%i: %s", async (index, family) => {
    await using model = await loadModel(fixture(`models/${family}-tiny`));
    for (const [number, path] of images.entries()) {
      const item = await processImage(await readFile(path), model.processor);
      const answer = `${index}.${number}`;
      const name = `${answer}: ${path}`;
      expect(gridsOf(item.grid, model.vision), name).toEqual(await readGrids(answers, `${answer}.grid_thw`));
      const pixels = await readFloats(answers, `${answer}.pixel_values`);
      // The rounding of values up to a few hundred levels in float32.
      expect(levelsApart(item, pixels, model), name).toBeLessThanOrEqual(1e-3);
    }
  });
});

/** Of noise, in drawn sizes: of shapes that every processor takes, and sides near multiples of a token's. */
async function drawImages(directory: string): Promise<readonly string[]> {
  const side = fc.oneof(
    fc.integer({ min: 1, max: 300 }),
    fc
      .tuple(fc.integer({ min: 1, max: 8 }), fc.constantFrom(28, 32, 56), fc.constantFrom(-1, 0, 1, 14))
      .map(([count, token, more]) => count * token + more),
  );
  const size = fc.tuple(side, side).filter(([h, w]) => Math.max(h, w) <= 40 * Math.min(h, w));
  const formats = Object.entries(FORMATS);
  return Promise.all(
    fc.sample(size, 2 * formats.length).map(async ([height, width], index) => {
      const [ending, encode] = formats[index % formats.length]!;
      const noise = { type: "gaussian", mean: 128, sigma: 60 } as const;
      const background = { r: 0, g: 0, b: 0 };
      const image = sharp({ create: { width, height, channels: 3, background, noise } });
      const path = join(directory, `${index}-${width}x${height}.${ending}`);
      await writeFile(path, await encode(image).toBuffer());
      return path;
    }),
  );
}
