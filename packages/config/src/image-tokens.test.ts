import { describe, expect, test } from "vitest";
import { imageTokens } from "./image-tokens.js";

/** Qwen3-VL: 16-pixel patches, merged by four; 256² to 4096² pixels. */
const QWEN3_VL = { patchSize: 16, spatialMergeSize: 2, minPixels: 65_536, maxPixels: 16_777_216 };

describe("imageTokens", () => {
  test.each([
    ["as it is", 512, 512, 16 * 16],
    ["rounded to whole tokens", 500, 700, 16 * 22],
    ["720p", 720, 1280, 22 * 40],
    ["1080p", 1080, 1920, 34 * 60],
    ["brought up to the fewest pixels", 100, 100, 8 * 8],
    ["brought down to the most pixels", 8192, 8192, 128 * 128],
    ["a strip brought down", 2048, 16_384, 45 * 362],
    ["half a token rounds to even, as in Python", 16 * 33, 512, 16 * 16],
  ])("%s: %i × %i has %i", (_name, height, width, tokens) => {
    expect(imageTokens({ height, width }, QWEN3_VL)).toBe(tokens);
  });

  test("224 × 224 with 14-pixel patches and no limit is vLLM's 64", () => {
    const geometry = { patchSize: 14, spatialMergeSize: 2, minPixels: 0, maxPixels: 1e9 };
    expect(imageTokens({ height: 224, width: 224 }, geometry)).toBe(64);
  });
});
