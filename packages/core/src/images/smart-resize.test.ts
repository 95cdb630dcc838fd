import { readFileSync } from "node:fs";
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_ASPECT_RATIO, smartResize, smartResizeVideo } from "./smart-resize.js";

const BOUNDS = {
  qwen2: { factor: 28, minPixels: 3136, maxPixels: 1_003_520 },
  qwen3: { factor: 32, minPixels: 65_536, maxPixels: 16_777_216 },
} as const;

// Computed with transformers' smart_resize, in Python.
const IMAGES: readonly (readonly [
  height: number,
  width: number,
  keyof typeof BOUNDS,
  toHeight: number,
  toWidth: number,
])[] = [
  [224, 224, "qwen2", 224, 224],
  [427, 640, "qwen2", 420, 644],
  [767, 1021, "qwen2", 756, 1008],
  [301, 57, "qwen2", 308, 56],
  [1500, 2300, "qwen2", 784, 1232],
  [1, 1, "qwen2", 56, 56],
  [1, 200, "qwen2", 28, 812],
  [13, 2600, "qwen2", 28, 812],
  [14, 14, "qwen2", 56, 56],
  [42, 70, "qwen2", 56, 56],
  [70, 98, "qwen2", 56, 112],
  [98, 126, "qwen2", 112, 112],
  [720, 1280, "qwen2", 728, 1288],
  [1080, 1920, "qwen2", 728, 1316],
  [4000, 3000, "qwen2", 1148, 840],
  [20000, 100, "qwen2", 14140, 56],
  [8000, 8000, "qwen2", 980, 980],
  [224, 224, "qwen3", 256, 256],
  [427, 640, "qwen3", 416, 640],
  [767, 1021, "qwen3", 768, 1024],
  [301, 57, "qwen3", 608, 128],
  [1500, 2300, "qwen3", 1504, 2304],
  [1, 1, "qwen3", 256, 256],
  [16, 16, "qwen3", 256, 256],
  [48, 80, "qwen3", 224, 352],
  [80, 112, "qwen3", 224, 320],
  [272, 400, "qwen3", 256, 384],
  [1, 200, "qwen3", 32, 3648],
  [15, 3000, "qwen3", 32, 3648],
  [720, 1280, "qwen3", 704, 1280],
  [4096, 4096, "qwen3", 4096, 4096],
  [4112, 4112, "qwen3", 4096, 4096],
  [9000, 7000, "qwen3", 4640, 3584],
  [30000, 150, "qwen3", 30016, 160],
];

// The same for videos: smart_resize of Qwen3-VL's video processor, with temporal_factor 2 and its default bounds.
const VIDEOS = [
  [2, 360, 640, 352, 640],
  [7, 720, 1280, 224, 416],
  [8, 64, 64, 128, 128],
  [32, 1080, 1920, 96, 192],
  [1, 32, 32, 384, 384],
  [5, 100, 1000, 96, 992],
] as const;

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (VitgraphError.is(error)) return error.code;
    throw error;
  }
  return expect.unreachable("it succeeded");
}

test.each(IMAGES)("%i × %i under %s's bounds becomes %i × %i", (height, width, model, toHeight, toWidth) => {
  expect(smartResize(height, width, BOUNDS[model])).toEqual({ height: toHeight, width: toWidth });
});

test.each(VIDEOS)("%i frames of %i × %i become %i × %i", (frames, height, width, toHeight, toWidth) => {
  const bounds = { factor: 32, temporalFactor: 2, minPixels: 128 * 32 * 32, maxPixels: 32 * 32 * 768 };
  expect(smartResizeVideo(frames, height, width, bounds)).toEqual({ height: toHeight, width: toWidth });
});

describe("refuses", () => {
  test("an image more than 200 times as long as wide, as transformers does", () => {
    expect(smartResize(1, MAX_ASPECT_RATIO, BOUNDS.qwen3)).toEqual({ height: 32, width: 3648 });
    expect(codeOf(() => smartResize(1, MAX_ASPECT_RATIO + 1, BOUNDS.qwen3))).toBe("VG_IMAGE_ASPECT_RATIO");
    expect(() => smartResize(20, 30_000, BOUNDS.qwen3)).toThrow(
      "image of 30000 × 20 pixels has an aspect ratio of 1500, above 200: crop it or split it into parts",
    );
  });

  test("sizes and bounds that are not positive whole numbers", () => {
    for (const size of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(codeOf(() => smartResize(size, 10, BOUNDS.qwen3))).toBe("VG_ARGUMENT_INVALID");
      expect(codeOf(() => smartResize(10, 10, { ...BOUNDS.qwen3, factor: size }))).toBe(
        "VG_ARGUMENT_INVALID",
      );
    }
    expect(() => smartResize(10, 0, BOUNDS.qwen3)).toThrow("width is 0: give a positive whole number");
  });
});

test("every size within the aspect ratio becomes whole blocks with an area near the bounds", () => {
  const side = fc.integer({ min: 1, max: 20_000 });
  fc.assert(
    fc.property(side, side, fc.constantFrom(...Object.values(BOUNDS)), (height, width, bounds) => {
      fc.pre(Math.max(height, width) / Math.min(height, width) <= MAX_ASPECT_RATIO);
      const { factor, minPixels, maxPixels } = bounds;
      const size = smartResize(height, width, bounds);
      expect(size.height % factor).toBe(0);
      expect(size.width % factor).toBe(0);
      expect(Math.min(size.height, size.width)).toBeGreaterThanOrEqual(factor);
      const area = size.height * size.width;
      expect(area).toBeGreaterThanOrEqual(minPixels);
      // A side that shrank below one block is set to one block, which may lift the area above the bound.
      if (Math.min(size.height, size.width) > factor) expect(area).toBeLessThanOrEqual(maxPixels);
    }),
  );
});

test("a size that already fits does not change, nor does the result of a resize", () => {
  const blocks = fc.integer({ min: 8, max: 60 });
  fc.assert(
    fc.property(blocks, blocks, (rows, columns) => {
      const size = { height: rows * 32, width: columns * 32 };
      expect(smartResize(size.height, size.width, BOUNDS.qwen3)).toEqual(size);
    }),
  );
});

/** From `smart_resize` of transformers 5.17's `video_processing_qwen3_vl.py`. */
test.each([
  [5, 117, 1533, 131_072, 786_432, 128, 1536],
  [5, 132, 1243, 131_072, 786_432, 128, 1248],
  [33, 1078, 720, 4096, 25_165_824, 1088, 704],
  [5, 54, 186, 65_536, 16_777_216, 64, 224],
  [33, 1938, 399, 4096, 25_165_824, 1952, 384],
  [5, 1807, 1975, 65_536, 16_777_216, 1792, 1984],
  [33, 1992, 389, 4096, 25_165_824, 1984, 384],
  [5, 50, 185, 65_536, 16_777_216, 64, 224],
  [5, 307, 553, 131_072, 786_432, 320, 544],
  [5, 1701, 1764, 65_536, 16_777_216, 1696, 1760],
])(
  "clip of %i frames, %i × %i: frames round half to even",
  (frames, height, width, minPixels, maxPixels, toHeight, toWidth) => {
    const bounds = { factor: 32, temporalFactor: 2, minPixels, maxPixels };
    expect(smartResizeVideo(frames, height, width, bounds)).toEqual({ height: toHeight, width: toWidth });
  },
);

test("random clips, half of them near a bound, have the size of transformers 5.17", () => {
  type Clip = [frames: number, height: number, width: number, min: number, max: number, to: number[] | null];
  const file = new URL("smart-resize-video.cases.json", import.meta.url);
  const clips = JSON.parse(readFileSync(file, "utf8")) as Clip[];
  expect(clips).toHaveLength(300);
  for (const [frames, height, width, minPixels, maxPixels, to] of clips) {
    const resize = () =>
      smartResizeVideo(frames, height, width, { factor: 32, temporalFactor: 2, minPixels, maxPixels });
    const clip = `${frames} × ${height} × ${width}, ${minPixels} to ${maxPixels}`;
    if (to === null) expect(codeOf(resize), clip).toBe("VG_IMAGE_ASPECT_RATIO");
    else expect(Object.values(resize()), clip).toEqual(to);
  }
});
