import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, test } from "vitest";
import { channelScale, resizeBounds, type VideoProcessor } from "../images/image-processor.js";
import { imageGrid, videoGrid } from "../images/process.js";
import { type FrameSampling, LARGEST_MAX_FRAMES, sampleFrames } from "../video/sample-frames.js";
import { MODEL_TYPES, readImageProcessor, readVideoProcessor } from "./index.js";
import { QWEN2_VL_IMAGE_CLASS as QWEN2 } from "./qwen2-vl/preprocess.js";
import { QWEN3_VL_IMAGES } from "./qwen3-vl/preprocess.js";

const QWEN3 = QWEN3_VL_IMAGES.withoutFile;

describe("settings", () => {
  test("of a checkpoint without a file are those of its family", () => {
    expect(readImageProcessor(undefined, "qwen3_vl")).toEqual(QWEN3);
    expect(readImageProcessor({}, "qwen2_5_vl")).toEqual(QWEN2);
    expect(readImageProcessor(undefined, "qwen3_vl", { max_pixels: 9e5 })).toEqual({
      ...QWEN3,
      maxPixels: 9e5,
    });
    expect(resizeBounds(QWEN2)).toEqual({ factor: 28, minPixels: 3136, maxPixels: 1_003_520 });
    expect(resizeBounds(QWEN3)).toEqual({ factor: 32, minPixels: 65_536, maxPixels: 16_777_216 });
  });

  test.each([
    ["paligemma", 224, "bicubic", 0.5],
    ["t5gemma2", 896, "bilinear", 0.5],
    ["cohere2_vision", 512, "bicubic", 0.5],
    ["aya_vision", 364, "bicubic", 0.5],
  ])("of %s without a file: images or tiles of %i pixels, %s", (modelType, side, filter, mean) => {
    const processor = readImageProcessor(undefined, modelType);
    expect(processor).toMatchObject({ fixedSize: { height: side, width: side }, filter });
    expect([...processor.imageMean, ...processor.imageStd]).toEqual(new Array(6).fill(mean));
  });

  test.each([
    ["paligemma", 224, "bicubic", 0.5],
    ["t5gemma2", 224, "bilinear", 0.5],
    ["cohere2_vision", 512, "bicubic", 0.48145466],
    ["aya_vision", 384, "bicubic", 0.48145466],
  ])("of %s missing in a file: %i pixels, %s, as in transformers' class", (modelType, side, filter, mean) => {
    const processor = readImageProcessor({}, modelType);
    expect(processor).toMatchObject({ fixedSize: { height: side, width: side }, filter });
    expect(processor.imageMean[0]).toBe(mean);
  });

  test("missing in a file are those of Qwen2VLImageProcessor", () => {
    const file = { patch_size: 16, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
    expect(readImageProcessor(file, "qwen3_vl")).toEqual({ ...QWEN3, minPixels: 3136, maxPixels: 1_003_520 });
    expect(readImageProcessor({}, "qwen3_vl")).toEqual({ ...QWEN2, patchSize: 16 });
  });

  test("as written by transformers, with keys without an effect on pixels, are read", () => {
    const settings = {
      ...{ crop_size: null, data_format: "channels_first", default_to_square: true, device: null },
      ...{ disable_grouping: null, do_center_crop: null, do_convert_rgb: true, do_normalize: true },
      ...{ do_pad: null, do_rescale: true, do_resize: true, image_mean: [0.5, 0.5, 0.5] },
      ...{ image_processor_type: "Qwen2VLImageProcessorFast", image_std: [0.5, 0.5, 0.5] },
      ...{ input_data_format: null, max_pixels: null, merge_size: 2, min_pixels: null, pad_size: null },
      ...{ patch_size: 16, processor_class: "Qwen3VLProcessor", resample: 3, rescale_factor: 1 / 255 },
      ...{ return_tensors: null, size: { longest_edge: 16777216, shortest_edge: 65536 } },
      ...{ temporal_patch_size: 2, _valid_processor_keys: ["images"], layer_of_a_later_version: null },
    };
    expect(readImageProcessor(settings, "qwen3_vl")).toEqual(QWEN3);
  });

  test("of Omni's hub checkpoints, with those of the audio processor, are read", () => {
    const settings = {
      ...{
        chunk_length: 30,
        dither: 0,
        feature_extractor_type: "WhisperFeatureExtractor",
        feature_size: 128,
      },
      ...{ hop_length: 160, n_fft: 400, n_samples: 480000, nb_max_frames: 3000, padding_side: "right" },
      ...{ padding_value: 0, return_attention_mask: true, sampling_rate: 16000 },
      ...{
        image_mean: [0.5, 0.5, 0.5],
        image_processor_type: "Qwen2VLImageProcessor",
        image_std: [0.5, 0.5, 0.5],
      },
      ...{ max_pixels: 12845056, merge_size: 2, min_pixels: 3136, patch_size: 16 },
    };
    expect(readImageProcessor(settings, "qwen3_vl").maxPixels).toBe(12_845_056);
  });

  test("of frame sampling are read from the file", () => {
    expect(readVideoProcessor({}, "qwen3_vl")).toMatchObject({ fps: 2, minFrames: 4, maxFrames: 768 });
    const settings = { fps: 1.5, min_frames: 8, max_frames: 64, num_frames: null, do_sample_frames: true };
    expect(readVideoProcessor(settings, "qwen3_vl")).toMatchObject({ fps: 1.5, minFrames: 8, maxFrames: 64 });
  });

  test("of SmolVLM2's hub checkpoints, for images and videos in one file, are read", () => {
    const settings = {
      do_image_splitting: true,
      image_processor_type: "SmolVLMImageProcessor",
      max_image_size: { longest_edge: 512 },
      resample: 1,
      size: { longest_edge: 2048 },
      video_sampling: { fps: 2, max_frames: 32, video_size: { longest_edge: 512 } },
    };
    expect(readImageProcessor(settings, "smolvlm").fixedSize).toEqual({ height: 512, width: 512 });
    const processor = readVideoProcessor(settings, "smolvlm")!;
    expect(processor).toMatchObject({ fps: 2, maxFrames: 32, fixedSize: { height: 512, width: 512 } });
    const fitted = processor.fitClip?.(1, { height: 300, width: 400 }, processor);
    expect(fitted?.via).toEqual({ height: 1536, width: 2048 });
  });

  test("for stacking video frames are refused", () => {
    expect(() => readVideoProcessor({ stack_frames: 3 }, "minicpmv4_6")).toThrow(
      "video_preprocessor_config.json has stack_frames = 3: it must be 1",
    );
    expect(readVideoProcessor({ max_num_frames: 64 }, "minicpmv4_6")).toMatchObject({ maxFrames: 64 });
  });

  test("of Qwen3-VL's hub checkpoints are read", () => {
    const settings = {
      size: { longest_edge: 16777216, shortest_edge: 65536 },
      patch_size: 16,
      temporal_patch_size: 2,
      merge_size: 2,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
      processor_class: "Qwen3VLProcessor",
      image_processor_type: "Qwen2VLImageProcessorFast",
    };
    expect(readImageProcessor(settings, "qwen3_vl")).toEqual(QWEN3);
  });

  test("of Qwen2-VL's hub checkpoints are read", () => {
    const settings = {
      min_pixels: 3136,
      max_pixels: 12845056,
      patch_size: 14,
      temporal_patch_size: 2,
      merge_size: 2,
      image_mean: [0.48145466, 0.4578275, 0.40821073],
      image_std: [0.26862954, 0.26130258, 0.27577711],
      image_processor_type: "Qwen2VLImageProcessor",
      processor_class: "Qwen2VLProcessor",
    };
    expect(readImageProcessor(settings, "qwen2_vl")).toEqual({ ...QWEN2, maxPixels: 12_845_056 });
  });

  test("min_pixels and max_pixels each take precedence over size; null counts as absent", () => {
    const size = { shortest_edge: 1000, longest_edge: 2000 };
    const read = (settings: Record<string, unknown>) => {
      const { minPixels, maxPixels } = readImageProcessor(settings, "qwen2_vl");
      return [minPixels, maxPixels];
    };
    expect(read({ size, min_pixels: 500 })).toEqual([500, 2000]);
    expect(read({ size, max_pixels: 5000 })).toEqual([1000, 5000]);
    expect(read({ size, min_pixels: null, max_pixels: null })).toEqual([1000, 2000]);
    expect(read({ size: null })).toEqual([3136, 1_003_520]);
    expect(read({ size: { min_pixels: 3136, max_pixels: 200_704 } })).toEqual([3136, 200_704]);
  });

  test("a minimum above the maximum yields the grids of transformers", () => {
    const size = { shortest_edge: 65_536, longest_edge: 16_777_216 };
    const processor = readImageProcessor({ patch_size: 16, size, max_pixels: 50_176 }, "qwen3_vl");
    expect(imageGrid({ height: 224, width: 224 }, processor)).toEqual({ t: 1, h: 16, w: 16 });
    expect(imageGrid({ height: 45, width: 31 }, processor)).toEqual({ t: 1, h: 20, w: 14 });
  });

  test("one number for mean or std applies to every channel; flags and factor are read", () => {
    const settings = {
      image_mean: 0.5,
      image_std: 0.25,
      do_resize: false,
      do_normalize: false,
      rescale_factor: 1,
    };
    expect(readImageProcessor(settings, "qwen2_vl")).toEqual({
      ...QWEN2,
      imageMean: [0.5, 0.5, 0.5],
      imageStd: [0.25, 0.25, 0.25],
      doResize: false,
      doNormalize: false,
      rescaleFactor: 1,
    });
  });

  test("of videos have separate bounds; Qwen3-VL's apply to the whole clip", () => {
    expect(readVideoProcessor(undefined, "qwen2_vl")).toMatchObject({
      minPixels: 100_352,
      boundsCover: "frame",
      sampling: "stride",
    });
    const settings = { size: { longest_edge: 25165824, shortest_edge: 4096 }, patch_size: 16 };
    expect(readVideoProcessor(settings, "qwen3_vl")).toMatchObject({
      patchSize: 16,
      minPixels: 4096,
      maxPixels: 25_165_824,
      boundsCover: "clip",
      sampling: "spread",
    });
  });

  // video_grid_thw of transformers 5.17.0 for 6 frames of 200 × 300: [3, 10, 16] by Qwen2VLVideoProcessor, with bounds
  // on each frame, and [3, 4, 6] by Qwen3VLVideoProcessor.
  test.each([
    ["qwen3_vl", "Qwen2VLVideoProcessor", [3, 10, 16]],
    ["qwen3_vl", "Qwen3VLVideoProcessor", [3, 4, 6]],
    ["qwen2_vl", "Qwen2VLVideoProcessor", [3, 10, 16]],
    ["qwen2_vl", "Qwen3VLVideoProcessor", [3, 4, 6]],
    ["qwen3_omni_moe", "Qwen3VLVideoProcessor", [3, 4, 6]],
  ])("of %s's videos are those of the class that the file names: %s", (modelType, name, [t, h, w]) => {
    const size = { shortest_edge: 3136, longest_edge: 50_176 };
    const settings = { patch_size: 16, size, video_processor_type: name };
    const processor = readVideoProcessor(settings, modelType)!;
    expect(videoGrid(6, { height: 200, width: 300 }, processor)).toEqual({ t, h, w, isClip: true });
  });

  // By transformers 5.17.0's AutoVideoProcessor. Published files have their own size and normalisation.
  test.each([
    ["internvl", "InternVLVideoProcessor", "GotOcr2ImageProcessorFast"],
    ["llava_onevision", "LlavaOnevisionVideoProcessor", "LlavaOnevisionImageProcessorFast"],
  ])("of %s's videos, left out of a file, are the defaults of %s", (modelType, videoClass, imageClass) => {
    for (const settings of [
      {},
      { do_resize: true },
      { video_processor_type: videoClass },
      { image_processor_type: imageClass },
    ]) {
      const processor = readVideoProcessor(settings, modelType)!;
      expect(processor.imageMean).toEqual([0.48145466, 0.4578275, 0.40821073]);
      expect(videoGrid(2, { height: 100, width: 200 }, { ...processor, patchSize: 16 })).toMatchObject({
        h: 24,
        w: 24,
      });
    }
    const given = readVideoProcessor({ size: { height: 448, width: 448 } }, modelType)!;
    expect(videoGrid(2, { height: 100, width: 200 }, { ...given, patchSize: 16 })).toMatchObject({
      h: 28,
      w: 28,
    });
  });

  test("of Gemma 4's videos normalise, also without do_normalize, and by default as its images", () => {
    const halves = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
    const scale = channelScale(readVideoProcessor(halves, "gemma4")!);
    expect(scale[0]).toBeCloseTo(2 / 255, 7);
    expect(scale[1]).toBe(-1);
    const image = channelScale(readImageProcessor(undefined, "gemma4"));
    expect([...channelScale(readVideoProcessor(undefined, "gemma4")!)].map((value) => value + 0)).toEqual([
      ...image,
    ]);
  });

  test("of videos: min_pixels and max_pixels of a file have no effect on Qwen3VLVideoProcessor", () => {
    const settings = { min_pixels: 3136, max_pixels: 50_176 };
    const bounds = (processor?: VideoProcessor) => [processor?.minPixels, processor?.maxPixels];
    expect(bounds(readVideoProcessor(settings, "qwen3_vl"))).toEqual([131_072, 786_432]);
    expect(bounds(readVideoProcessor(settings, "qwen2_vl"))).toEqual([3136, 50_176]);
    expect(bounds(readVideoProcessor(settings, "qwen3_vl", { max_pixels: 65_536 }))).toEqual([
      131_072, 65_536,
    ]);
  });

  // By transformers 5.17.0, with one setting null at a time.
  test("a step whose flag is null is off, as in transformers", () => {
    for (const step of ["do_resize", "do_rescale", "do_normalize", "do_center_crop"]) {
      expect(readImageProcessor({ [step]: null }, "qwen2_vl")).toEqual(
        readImageProcessor({ [step]: false }, "qwen2_vl"),
      );
      expect(readVideoProcessor({ [step]: null }, "qwen3_vl")).toEqual(
        readVideoProcessor({ [step]: false }, "qwen3_vl"),
      );
    }
    const gridOf = (settings: Record<string, unknown>, modelType: string) =>
      imageGrid({ height: 1400, width: 1800 }, readImageProcessor(settings, modelType));
    for (const [step, modelType] of [
      ["do_image_splitting", "idefics3"],
      ["do_image_splitting", "lfm2_vl"],
      ["use_thumbnail", "lfm2_vl"],
      ["slice_mode", "minicpmv4_6"],
    ] as const) {
      const off = gridOf({ [step]: false }, modelType);
      expect(off).not.toEqual(gridOf({}, modelType));
      expect(gridOf({ [step]: null }, modelType)).toEqual(off);
    }
  });

  test("settings of a step that is off may be null", () => {
    const off = { do_resize: false, do_rescale: false, do_normalize: null };
    const settings = { resample: null, rescale_factor: null, image_mean: null, image_std: null };
    expect(readImageProcessor({ ...off, ...settings }, "qwen2_vl")).toEqual(
      readImageProcessor(off, "qwen2_vl"),
    );
  });

  test.each([
    ["qwen2_vl", "patch_size", "a positive whole number"],
    ["qwen2_vl", "merge_size", "a positive whole number"],
    ["qwen2_vl", "temporal_patch_size", "a positive whole number"],
    ["qwen2_vl", "resample", "given beside do_resize"],
    ["qwen2_vl", "rescale_factor", "given beside do_rescale"],
    ["qwen2_vl", "image_mean", "given beside do_normalize"],
    ["qwen2_vl", "image_std", "given beside do_normalize"],
    ["gemma3", "size", "an object"],
    ["gemma4", "max_soft_tokens", "a positive whole number"],
    ["glm5_next", "min_image_tokens", "a positive whole number"],
    ["idefics3", "do_resize", "absent or true"],
    ["idefics3", "max_image_size", "an object"],
    ["internvl", "size", "an object"],
    ["internvl", "max_patches", "a positive whole number"],
    ["kimi_k25", "max_patches", "a positive whole number"],
    ["lfm2_vl", "tile_size", "a positive whole number"],
    ["llama4", "do_resize", "absent or true"],
    ["llava", "crop_size", "given beside do_center_crop"],
    ["llava", "do_center_crop", "absent or true"],
    ["llava_onevision", "image_grid_pinpoints", "pairs of a height and a width in multiples of 384"],
    ["minicpmv4_6", "scale_resolution", "a positive whole number"],
    ["minicpmv4_6", "resample", "given beside do_resize"],
    ["pixtral", "patch_size", "a positive whole number"],
  ])("of %s: %s = null is refused, where transformers fails or has another rule", (modelType, key, text) => {
    expect(thrownBy(() => readImageProcessor({ [key]: null }, modelType)).message).toBe(
      `preprocessor_config.json has ${key} = null: it must be ${text}`,
    );
  });

  test.each([
    ["qwen3_vl", "fps", "a positive number"],
    ["qwen2_vl", "max_frames", "a positive whole number up to 2048"],
    ["glm4v", "max_duration", "a positive number"],
    ["internvl", "initial_shift", "absent or true"],
    ["minicpmv4_6", "max_num_frames", "a positive whole number up to 2048"],
  ])("of %s's videos: %s = null is refused", (modelType, key, text) => {
    expect(thrownBy(() => readVideoProcessor({ [key]: null }, modelType)).message).toBe(
      `video_preprocessor_config.json has ${key} = null: it must be ${text}`,
    );
  });

  test("a rate and a number of frames may be null: classes without one sample all frames", () => {
    for (const modelType of ["qwen2_vl", "internvl", "llava_onevision", "smolvlm"]) {
      const density = (settings: Record<string, unknown>) => {
        const { fps, numFrames } = readVideoProcessor(settings, modelType)!;
        return { fps, numFrames };
      };
      expect(density({ fps: null, num_frames: null })).toEqual(density({}));
    }
  });

  // Qwen2VLImageProcessor of transformers 5.17.0 returns the same pixel_values with and without these settings.
  test.each([
    { do_center_crop: true, crop_size: { height: 64, width: 64 } },
    { do_center_crop: true, crop_size: 64 },
    { do_pad: true, pad_size: { height: 640, width: 640 } },
    { do_pad: true },
  ])("%j changes nothing: transformers' Qwen-VL processors neither crop nor pad", (steps) => {
    expect(readImageProcessor(steps, "qwen3_vl")).toEqual(readImageProcessor({}, "qwen3_vl"));
    expect(readVideoProcessor(steps, "qwen3_vl")).toEqual(readVideoProcessor({}, "qwen3_vl"));
  });

  test.each<[Record<string, unknown>, string]>([
    [{ patch_size: 0 }, "has patch_size = 0: it must be a positive whole number"],
    [{ merge_size: "2" }, 'has merge_size = "2": it must be a positive whole number'],
    [{ size: 224 }, "has size = 224: it must be an object"],
    [{ size: { shortest_edge: -1 } }, "has size.shortest_edge = -1: it must be a positive whole number"],
    [
      { image_mean: [0.5, 0.5] },
      "has image_mean = [0.5,0.5]: it must be three numbers, for red, green and blue",
    ],
    [{ image_std: [0.5, 0, 0.5] }, "has image_std = [0.5,0,0.5]: it must be three numbers above zero"],
    [{ rescale_factor: 0 }, "has rescale_factor = 0: it must be a positive number"],
    [{ do_resize: 1 }, "has do_resize = 1: it must be true or false"],
    [
      { size: { height: 9 } },
      "has size.height = 9: it must be absent: size has shortest_edge, longest_edge, min_pixels, max_pixels",
    ],
    [{ max_pixel: 9 }, 'has the unknown key "max_pixel": did you mean "max_pixels"?'],
    [{ ["x".repeat(1000)]: 9 }, `has the unknown key "${"x".repeat(60)}"… of 1000 characters: remove it`],
    [
      { size: { shortest_edge: 9 } },
      "has size.longest_edge = undefined: it must be given beside shortest_edge",
    ],
    [{ min_pixels: 4e9 }, "has min_pixels = 4000000000: it must be at most 268435456"],
    [
      { do_center_crop: true, crop_size: null },
      "has crop_size = null: it must be given beside do_center_crop",
    ],
    [{ cap_pixels_per_frame: true }, "has cap_pixels_per_frame = true: it must be absent or false"],
  ])("%j is refused", (settings, text) => {
    const error = thrownBy(() => readImageProcessor(settings, "qwen3_vl"));
    expect(error.code).toBe("VG_MODEL_INVALID");
    expect(error.message).toBe(`preprocessor_config.json ${text}`);
  });

  test("a limit on each frame of a clip is refused", () => {
    const settings = { size: { shortest_edge: 4096, longest_edge: 25_165_824 }, cap_pixels_per_frame: true };
    expect(thrownBy(() => readVideoProcessor(settings, "qwen3_vl")).message).toBe(
      "video_preprocessor_config.json has cap_pixels_per_frame = true: it must be absent or false",
    );
  });

  test("Gemma 3's pan-and-scan is refused, but its parameters are accepted if it is off", () => {
    const settings = { pan_and_scan_min_crop_size: 256, pan_and_scan_max_num_crops: 4 };
    const off = readImageProcessor({ ...settings, do_pan_and_scan: false }, "gemma3");
    expect(off).toEqual(readImageProcessor({}, "gemma3"));
    expect(thrownBy(() => readImageProcessor({ ...settings, do_pan_and_scan: true }, "gemma3")).message).toBe(
      "preprocessor_config.json has do_pan_and_scan = true: it must be absent or false",
    );
  });

  test("the filter may be lanczos, bicubic or bilinear", () => {
    expect(readImageProcessor({ resample: 3 }, "gemma3").filter).toBe("bicubic");
    expect(readVideoProcessor({ resample: 2 }, "qwen3_vl")?.filter).toBe("bilinear");
    expect(readVideoProcessor({ resample: 1 }, "qwen3_vl")?.filter).toBe("lanczos");
    const box = thrownBy(() => readVideoProcessor({ resample: 4 }, "qwen3_vl"));
    expect(box.code).toBe("VG_MODEL_UNSUPPORTED");
    expect(box.message).toBe(
      "video_preprocessor_config.json asks for resizing with filter 4: vitgraph has 1 (lanczos), 2 (bilinear), 3 (bicubic)",
    );
  });

  test("an unknown model type is refused", () => {
    const model = thrownBy(() => readImageProcessor(undefined, "mllama"));
    expect(model.code).toBe("VG_MODEL_UNSUPPORTED");
    expect(model.message).toMatch(/^model_type "mllama" is not supported: supported model types: qwen2_vl, /);
    expect(thrownBy(() => readImageProcessor(undefined, "constructor")).code).toBe("VG_MODEL_UNSUPPORTED");
  });
});

describe("channelScale", () => {
  // transformers' steps in f32: mean and std are multiplied by 1 / rescale_factor; then (pixel − mean) / std.
  function transformers(level: number, mean: number, std: number): number {
    const f = Math.fround;
    return f(f(level - f(f(mean) * 255)) / f(f(std) * 255));
  }

  test.each([
    ["qwen2_vl", QWEN2],
    ["qwen3_vl", QWEN3],
  ])("of %s yields transformers' values for every level", (_, processor) => {
    const scale = channelScale(processor);
    expect(scale).toHaveLength(6);
    for (let channel = 0; channel < 3; channel++) {
      for (let level = 0; level < 256; level++) {
        const value = Math.fround(
          Math.fround(level * (scale[channel * 2] as number)) + (scale[channel * 2 + 1] as number),
        );
        const mean = processor.imageMean[channel] as number;
        const std = processor.imageStd[channel] as number;
        // Three roundings of f32 terms below 4, where the unit in the last place is 2^-22.
        expect(Math.abs(value - transformers(level, mean, std))).toBeLessThanOrEqual(2 ** -21);
      }
    }
  });

  test("only rescales without normalising, only normalises without rescaling, and is the identity without both", () => {
    const processor = { ...QWEN2, imageMean: [100, 0, 0], imageStd: [2, 1, 1] };
    const first = (flags: { doRescale: boolean; doNormalize: boolean }) => [
      ...channelScale({ ...processor, ...flags }).subarray(0, 2),
    ];
    expect(first({ doRescale: true, doNormalize: false })).toEqual([Math.fround(1 / 255), 0]);
    expect(first({ doRescale: false, doNormalize: true })).toEqual([0.5, -50]);
    expect(first({ doRescale: false, doNormalize: false })).toEqual([1, 0]);
  });
});

function thrownBy(work: () => unknown): VitgraphError {
  try {
    work();
  } catch (error) {
    if (VitgraphError.is(error)) return error;
    throw error;
  }
  return expect.unreachable("it succeeded");
}

const WITHOUT_RATE = ["glm46v", "glm_ocr", "minicpmv4_6"];

test("every family bounds the frames of a rate and of a processor file", () => {
  const clip = { frames: 1_000_000, fps: 1000 };
  for (const model of MODEL_TYPES) {
    const processor = readVideoProcessor(undefined, model);
    if (processor === undefined) continue;
    expect(processor.maxFrames, model).toBeLessThanOrEqual(LARGEST_MAX_FRAMES);
    const frames = (sampling: FrameSampling) => sampleFrames(clip, sampling, processor).length;
    expect(frames({}), model).toBeLessThanOrEqual(processor.maxFrames);
    if (WITHOUT_RATE.includes(model)) expect(() => frames({ fps: 1000 }), model).toThrow("by time");
    else expect(frames({ fps: 1000 }), model).toBeLessThanOrEqual(processor.maxFrames);
  }
});

test("a processor file sets at most 2048 frames, and no number above its limit", () => {
  expect(readVideoProcessor({ num_frames: 1000, max_frames: 1000 }, "gemma4")).toMatchObject({
    numFrames: 1000,
  });
  for (const [settings, message] of [
    [{ num_frames: 1000 }, "has num_frames = 1000: it must be a positive whole number up to 768"],
    [{ max_frames: 1e6 }, "has max_frames = 1000000: it must be a positive whole number up to 2048"],
  ] as const)
    expect(() => readVideoProcessor(settings, "gemma4")).toThrow(message);
});
