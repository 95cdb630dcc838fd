/**
 * Grids of images by the size rules of transformers 5.17's processors, and of Kimi-VL's processor. Each case is
 * `[height, width, t, h, w]`, followed by the grid of a thumbnail with another size than the tiles, and for
 * LLaVA-OneVision and LLaVA-NeXT by the number of output rows. Settings are those of the classes; for InternVL,
 * Aya Vision, dots.ocr, Kimi-VL and LLaVA-OneVision-1.5 those of the checkpoints. Mistral 3 has a longest edge of 1540 pixels and tokens of 28 pixels.
 */
import { expect, test } from "vitest";
import type { ImageProcessor } from "../images/image-processor.js";
import { imageGrid, imageTokenCount, videoGrid } from "../images/process.js";
import { partsOf } from "../item.js";
import { ARCHITECTURES } from "./architectures.js";
import cases from "./image-grids.cases.json" with { type: "json" };
import { createVisionModel, readImageProcessor, readVideoProcessor } from "./index.js";
import { itemSpec, outputTokensOf } from "./vision-model.js";

const ONEVISION = createVisionModel({ ...ARCHITECTURES["llava-onevision-7b"] });
const NEXT = createVisionModel({ ...ARCHITECTURES["llava-1.6-7b"] });

const PROCESSORS = {
  ...Object.fromEntries(
    Object.keys(cases).map((modelType) => [modelType, readImageProcessor(undefined, modelType)]),
  ),
  mistral3: {
    ...readImageProcessor({ size: { longest_edge: 1540 } }, "mistral3"),
    patchSize: 14,
    mergeSize: 2,
  },
};

test.each(Object.keys(cases))("grids of %s equal transformers'", (modelType) => {
  const processor = PROCESSORS[modelType as keyof typeof PROCESSORS]!;
  for (const [height = 0, width = 0, ...sides] of cases[modelType as keyof typeof cases]) {
    const grid = imageGrid({ height, width }, processor);
    const found = partsOf(grid).flatMap(({ t, h, w }) => [t, h, w]);
    const rows =
      grid.imageSize === undefined
        ? []
        : [outputTokensOf(modelType === NEXT.modelType ? NEXT : ONEVISION, grid)];
    expect([height, width, ...found, ...rows]).toEqual([height, width, ...sides]);
  }
});

test("an image with more patches than output rows needs the budget of its patches", () => {
  const processor = readImageProcessor(undefined, "llava_onevision");
  const specOf = (height: number, width: number) =>
    itemSpec(ONEVISION, imageGrid({ height, width }, processor));
  const tile = 27 ** 2;
  // The base tile and 2 × 3 tiles without padding; 54 rows get a newline each.
  expect(specOf(768, 1152)).toEqual({ inputSize: 7 * tile, outputTokens: 7 * tile + 54, frames: 1 });
  // 15 of the 27 columns of two tiles show the image; the rest is padding.
  expect(specOf(768, 200)).toEqual({
    inputSize: 3 * tile,
    outputTokens: tile + 54 * 16,
    budgetTokens: 3 * tile,
    frames: 1,
  });
});

test("HunyuanOCR's output has a newline after each row of tokens, and a begin and an end row", () => {
  const processor = readImageProcessor(undefined, "hunyuan_vl");
  expect(imageTokenCount({ height: 512, width: 1024 }, processor)).toBe(16 * (32 + 1) + 2);
});

test("in_token_limit of Kimi-VL bounds the patches of an image", () => {
  const settings = { in_token_limit: 256, merge_kernel_size: [2, 2], pad_input: true };
  const processor = readImageProcessor(settings, "kimi_vl");
  expect(imageGrid({ height: 896, width: 896 }, processor)).toEqual({ t: 1, h: 16, w: 16 });
});

test("bounds are read from the hub's file of Kimi-K2.5, which has other key names", () => {
  const media_proc_cfg = { in_patch_limit: 256, patch_limit_on_one_side: 512, patch_size: 14 };
  const processor = readImageProcessor({ media_proc_cfg }, "kimi_k25");
  // 64 × 64 patches shrink to 16 × 16.
  expect(imageGrid({ height: 896, width: 896 }, processor)).toEqual({ t: 1, h: 16, w: 16 });
});

test("bounds and rate of a clip's frames are read from the hub's file of Kimi-K2.5", () => {
  const media_proc_cfg = {
    in_patch_limit: 1024,
    in_patch_limit_each_frame: 256,
    in_patch_limit_video: null,
    max_num_frames_each_video: null,
    patch_limit_on_one_side: 512,
    sample_fps: 4,
    temporal_merge_kernel_size: 4,
  };
  const gridBy = (settings: Record<string, unknown>) => {
    const processor = readVideoProcessor({ media_proc_cfg: { ...media_proc_cfg, ...settings } }, "kimi_k25")!;
    expect(processor).toMatchObject({ fps: 4, temporalPatchSize: 1 });
    return videoGrid(5, { height: 896, width: 896 }, processor);
  };
  expect(gridBy({})).toMatchObject({ t: 5, h: 16, w: 16 });
  expect(gridBy({ in_patch_limit_each_frame: null })).toMatchObject({ t: 5, h: 32, w: 32 });
});

test("the size in the hub's file of MiniMax-M3 has no effect, nor any size on its clips", () => {
  const sizes = { size: [672, 672], img_token_compression_config: { max_image_resolution: 1008 } };
  const [still, clip] = [
    readImageProcessor(sizes, "minimax_m3_vl"),
    readVideoProcessor(sizes, "minimax_m3_vl")!,
  ];
  const size = { height: 1344, width: 1792 };
  expect(imageGrid(size, still)).toEqual({ t: 1, h: 40, w: 54 });
  expect(videoGrid(5, size, clip)).toEqual({ isClip: true, t: 3, h: 48, w: 64 });
  const bounded = { size: { shortest_edge: 3136, longest_edge: 12_544 } };
  expect(imageGrid(size, readImageProcessor(bounded, "minimax_m3_vl"))).toEqual({ t: 1, h: 6, w: 8 });
  const saved = { size: { height: 672, width: 672 }, max_pixels: 12_544, total_pixels: 45_158_400 };
  expect(videoGrid(5, size, readVideoProcessor(saved, "minimax_m3_vl")!)).toEqual({
    isClip: true,
    t: 3,
    h: 6,
    w: 8,
  });
});

test("images of Muse-Glimmer and frames of its clips have bounds of their own, and size has no effect", () => {
  const settings = { max_image_tokens: 256, max_video_frame_tokens: 16, size: { shortest_edge: 28 } };
  const { max_video_frame_tokens, ...ofImages } = settings;
  const size = { height: 1080, width: 1920 };
  expect(imageGrid(size, readImageProcessor(ofImages, "muse_glimmer"))).toEqual({ t: 1, h: 24, w: 42 });
  const videos = [settings, ofImages].map((each) => readVideoProcessor(each, "muse_glimmer")!);
  expect(videos.map((each) => videoGrid(5, size, each))).toEqual([
    { t: 3, h: 6, w: 10, isClip: true },
    { t: 3, h: 18, w: 32, isClip: true },
  ]);
});

test("the sides of a long image are rounded if no grid is within the maximum of tokens, as in transformers", () => {
  const processor = readImageProcessor({ max_image_tokens: 4 }, "muse_glimmer");
  // 0.63 × 6.3 tokens: 1 × 6 are more than 4.
  expect(imageGrid({ height: 100, width: 1000 }, processor)).toEqual({ t: 1, h: 2, w: 12 });
});

test.each([
  [{ temporal_patch_size: 2 }, "temporal_patch_size = 2: it must be 4"],
  [
    { media_proc_cfg: { temporal_merge_kernel_size: 8 } },
    "media_proc_cfg.temporal_merge_kernel_size = 8: it must be 4",
  ],
  [
    { media_proc_cfg: { in_patch_limit_video: 9 } },
    "media_proc_cfg.in_patch_limit_video = 9: it must be null",
  ],
])("clips of kimi_k25: %j is refused", (settings, text) => {
  expect(() => readVideoProcessor(settings, "kimi_k25")).toThrow(
    `video_preprocessor_config.json has ${text}`,
  );
});

test("LLaVA reads numbers as in CLIP's files: size is the shorter side, crop_size both sides", () => {
  const read = (settings: Record<string, unknown>) => {
    const processor = readImageProcessor(settings, "llava");
    return processor.fit?.({ height: 300, width: 900 }, processor);
  };
  const fitted = read({ size: 400, crop_size: 336, do_center_crop: true });
  expect(fitted).toEqual(
    read({ size: { shortest_edge: 400 }, crop_size: { height: 336, width: 336 }, do_center_crop: true }),
  );
  expect(fitted?.resizeTo).toEqual({ height: 400, width: 1200 });
  expect(() => read({ size: 0 })).toThrow("size.shortest_edge = 0: it must be a positive whole number");
});

test.each([
  { size: { shortest_edge: 336 }, crop_size: { height: 336, width: 336 }, do_center_crop: true },
  { size: { height: 336, width: 336 }, crop_size: { height: 336, width: 336 }, do_pad: true },
  { size: 336, crop_size: 336, do_resize: false, do_center_crop: false, aspect_ratio_setting: "anyres" },
])("LLaVA-NeXT's tiles have the side of size and of crop_size, in all their forms: %j", (settings) => {
  const fitted = (processor: ImageProcessor) => processor.fit?.({ height: 300, width: 900 }, processor);
  const read = readImageProcessor(settings, "llava_next");
  expect(fitted(read)).toEqual(fitted(readImageProcessor(undefined, "llava_next")));
});

test("a side of an LFM2-VL image that rounds to 0 counts as one token against the bounds", () => {
  const processor = readImageProcessor({ min_image_tokens: 16, max_image_tokens: 64 }, "lfm2_vl");
  // 69 × 1 tokens of 32 pixels exceed the maximum. transformers then keeps the aspect ratio: 113 × 1.
  expect(imageGrid({ height: 2200, width: 11 }, processor)).toEqual({ t: 1, h: 226, w: 2 });
});

test("a side of an LFM2-VL image that rounds to 0 counts as one patch when deciding on tiles", () => {
  const processor = readImageProcessor({ max_image_tokens: 16, max_pixels_tolerance: 1 }, "lfm2_vl");
  // By _is_image_too_large of transformers 5.17: 16 × 1024 pixels are 16 tokens, 16 × 1056 pixels are too large.
  const isTiled = (width: number) => processor.fit?.({ height: 11, width }, processor).tile !== undefined;
  expect([1024, 1056, 2200].map(isTiled)).toEqual([false, true, true]);
});

test("patch_size in a file of Command A Vision is the number of tokens along a tile's side", () => {
  const processor = readImageProcessor({ patch_size: 9, crop_to_patches: true }, "cohere2_vision");
  expect(imageGrid({ height: 900, width: 300 }, processor)).toEqual({ t: 3, h: 32, w: 32 });
});

test("an image of Command A Vision is one tile if the file turns tiles off", () => {
  const processor = readImageProcessor({ crop_to_patches: false }, "cohere2_vision");
  expect(imageGrid({ height: 900, width: 300 }, processor)).toEqual({ t: 1, h: 32, w: 32 });
});

test("Command A Vision arranges tiles so that an image grows least, and else shrinks least", () => {
  const processor = readImageProcessor({ max_patches: 6 }, "cohere2_vision");
  const tiles = (height: number, width: number) => {
    const { resizeTo } = processor.fit!({ height, width }, processor);
    return [resizeTo.height / 512, resizeTo.width / 512];
  };
  // By get_optimal_tiled_canvas of transformers 5.17.
  expect([tiles(512, 512), tiles(513, 513), tiles(600, 400), tiles(400, 2100), tiles(4000, 4000)]).toEqual([
    [1, 1],
    [2, 2],
    [2, 1],
    [1, 5],
    [2, 2],
  ]);
});

test("patch_size in a file of Step-3.7-Flash is the side of a tile, not of a patch", () => {
  const file = { patch_size: 336, size: { height: 448, width: 448 }, vision_patch_size: 14 };
  const processor = readImageProcessor({ ...file, downsampler_stride: 4 }, "step3p7");
  const next = { t: 1, h: 32, w: 32 };
  expect(processor.patchSize).toBe(14);
  expect(imageGrid({ height: 672, width: 672 }, processor)).toEqual({ t: 4, h: 24, w: 24, next });
});

test.each([
  ["hunyuan_vl", { resample: 1 }],
  ["lfm2_vl", { do_resize: false }],
  ["internvl", { do_resize: false }],
  ["llava_onevision", { do_resize: false }],
  ["step3p7", { do_resize: false }],
  ["cohere2_vision", { do_resize: false, min_patches: 5 }],
  ["aya_vision", { do_resize: false, crop_to_patches: false }],
])("%s: %j has no effect, as in transformers", (modelType, settings) => {
  const { fit: _, ...processor } = readImageProcessor(settings, modelType);
  const { fit: __, ...expected } = readImageProcessor({}, modelType);
  expect(processor).toEqual(expected);
});

test.each([
  ["gemma4", { max_soft_tokens: 300 }, "max_soft_tokens = 300: it must be one of 70, 140, 280, 560, 1120"],
  [
    "kimi_k25",
    { size: { max_height: 8, max_width: 9 } },
    "size.max_width = 9: it must be max_height, which is 8",
  ],
  ["internvl", { max_patches: 500 }, "max_patches = 500: it must be at most 256"],
  [
    "pixtral",
    { size: { shortest_edge: 9 } },
    "size.shortest_edge = 9: it must be absent: size has longest_edge",
  ],
  [
    "llava_onevision",
    { image_grid_pinpoints: [[384, 100]] },
    "image_grid_pinpoints = [[384,100]]: it must be pairs of a height and a width in multiples of 384",
  ],
  ["step3p7", { patch_size: 500 }, "patch_size = 500: it must be a multiple of 56"],
  ["step3p7", { size: { height: 700, width: 728 } }, "size.width = 728: it must be height, which is 700"],
  ["step3p7", { max_image_size: 0 }, "max_image_size = 0: it must be a positive whole number up to 16384"],
  ["cohere2_vision", { max_patches: 257 }, "max_patches = 257: it must be at most 256"],
  [
    "cohere2_vision",
    { size: { height: 512, width: 256 } },
    "size.width = 256: it must be height, which is 512",
  ],
  ["lfm2_vl", { tile_size: 500 }, "tile_size = 500: it must be a multiple of 32"],
  ["lfm2_vl", { min_tiles: 11 }, "min_tiles = 11: it must be at most max_tiles, which is 10"],
  ["llama4", { max_patches: 300 }, "max_patches = 300: it must be at most 256"],
  ["minicpmv4_6", { scale_resolution: 9000 }, "scale_resolution = 9000: it must be at most 4096"],
  ["glm5_next", { min_image_tokens: 0 }, "min_image_tokens = 0: it must be a positive whole number"],
  ["kimi_vl", { in_token_limit: 4096 }, "pad_input = undefined: it must be true"],
  ["kimi_vl", { pad_input: true, merge_kernel_size: [1, 2] }, "merge_kernel_size = [1,2]: it must be [2,2]"],
  ["llava", { min_pixels: 9 }, 'the unknown key "min_pixels": remove it'],
  [
    "pixtral",
    { do_center_crop: true, crop_size: { height: 9, width: 9 } },
    "do_center_crop = true: it must be absent or false",
  ],
  [
    "llava_onevision",
    { do_center_crop: true, crop_size: { height: 9, width: 9 } },
    "do_center_crop = true: it must be absent or false",
  ],
  [
    "llava_onevision",
    { crop_size: { height: 336, width: 336 } },
    "crop_size.height = 336: it must be size.height, which is 384",
  ],
  ["minimax_m3_vl", { size: [448, 448] }, "size = [448,448]: it must be an object"],
  ["minimax_m3_vl", { max_long_side_pixel: 2016 }, 'the unknown key "max_long_side_pixel"'],
  ["muse_glimmer", { max_image_tokens: 0 }, "max_image_tokens = 0: it must be a positive whole number up to"],
  ["muse_glimmer", { max_pixels: 9 }, 'the unknown key "max_pixels": remove it'],
  ["llava_next", { size: 336 }, "crop_size.height = undefined: it must be the side of size, which is 336"],
  [
    "llava_next",
    { size: { shortest_edge: 400 }, crop_size: 336 },
    "crop_size.height = 336: it must be the side of size, which is 400",
  ],
  ["llava_next", { size: { longest_edge: 336 } }, "size.longest_edge = 336: it must be absent"],
  ["llava_next", {}, "image_grid_pinpoints = undefined: it must be pairs"],
  ["llava", { do_pad: true }, "do_pad = true: it must be absent or false"],
  ["llava", { do_resize: false }, "do_resize = false: it must be absent or true"],
  ["idefics3", { do_resize: false }, "do_resize = false: it must be absent or true"],
  ["llama4", { do_resize: false }, "do_resize = false: it must be absent or true"],
  ["minicpmv4_6", { do_resize: false }, "do_resize = false: it must be absent or true"],
])("%s: %j is refused", (modelType, settings, text) => {
  expect(() => readImageProcessor(settings, modelType)).toThrow(`preprocessor_config.json has ${text}`);
});
