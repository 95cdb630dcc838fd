import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { graphFlops } from "../graph/graph.js";
import { imageGrid, imageTokenCount, videoGrid } from "../images/index.js";
import { takesGrid } from "../runtime/check-item.js";
import { MINIATURE_CONFIG, writeMiniatureCheckpoint } from "../testing/miniature-checkpoint.js";
import type { TensorData } from "../weights/safetensors.js";
import { ARCHITECTURES, type ArchitectureName } from "./architectures.js";
import { createVisionModel } from "./index.js";
import { loadDummyModel, loadModel } from "./load-model.js";
import { QWEN3_VL_MODELS } from "./qwen3-vl/published.js";
import { stillGrids } from "./still-grids.js";
import { itemSpec, outputTokensOf } from "./vision-model.js";

const NAMES = Object.keys(QWEN3_VL_MODELS) as (keyof typeof QWEN3_VL_MODELS)[];

test.each(Object.keys(ARCHITECTURES) as ArchitectureName[])(
  "without files, %s preprocesses images and clips to valid grids",
  (name) => {
    const { vision, processor, videoProcessor } = loadDummyModel(name);
    if (videoProcessor !== undefined) {
      const clip = videoGrid(3, { height: 700, width: 1000 }, videoProcessor);
      expect(takesGrid(clip, vision)).toBe(true);
      expect(Number.isSafeInteger(outputTokensOf(vision, clip))).toBe(true);
      // vLLM's frames: temporal patches of a clip. The tiles of an image, below, are one.
      expect(itemSpec(vision, clip).frames).toBe(Math.ceil(3 / videoProcessor.temporalPatchSize));
    }
    const grid = imageGrid({ height: 700, width: 1000 }, processor);
    expect(takesGrid(grid, vision)).toBe(true);
    expect(itemSpec(vision, grid).frames).toBe(1);
    expect(outputTokensOf(vision, grid)).toBe(imageTokenCount({ height: 700, width: 1000 }, processor));
  },
);

test.each(NAMES)("the tensors of %s have the shapes of its config", async (name) => {
  const { vision_config } = ARCHITECTURES[name];
  await using model = loadDummyModel(name);
  const columns = vision_config.out_hidden_size as number;
  expect(model.name).toBe(name);
  expect(model.vision.outputColumns).toEqual([columns, columns, columns, columns]);
  expect(model.weights.get("blocks.0.mlp.linear_fc1.weight")?.shape).toEqual([
    vision_config.intermediate_size,
    vision_config.hidden_size,
  ]);
  expect(model.weights.has(`blocks.${(vision_config.depth as number) - 1}.norm1.weight`)).toBe(true);
  expect(model.weights.has(`blocks.${vision_config.depth}.norm1.weight`)).toBe(false);
});

test.each([
  // Patches of 588 values; qkv, proj, fc1 and fc2; 256 tokens.
  ["gemma-3-4b", 64 * 64, 27 * (4 * 1152 ** 2 + 2 * 1152 * 4304) + 588 * 1152, (256 * 1152 * 2560) / 4096],
  // The MLP has gate, up and down, with 3420 columns padded to 3424; the merger has 5120 columns.
  [
    "qwen2.5-vl-7b",
    16 * 16,
    32 * (4 * 1280 ** 2 + 3 * 1280 * 3424) + 1176 * 1280,
    (5120 ** 2 + 5120 * 3584) / 4,
  ],
  // Keys and values have 8 heads, repeated to 32.
  [
    "exaone-4.5-33b",
    16 * 16,
    28 * (4 * 2048 ** 2 + 3 * 2048 * 5120) + 1176 * 2048,
    (8192 ** 2 + 8192 * 5120) / 4,
  ],
  ["qwen2-vl-2b", 16 * 16, 32 * (12 * 1280 ** 2) + 1176 * 1280, (5120 ** 2 + 5120 * 1536) / 4],
] as const)("the FLOPs of %s are those of its published size", (name, patches, tower, merger) => {
  const { graph, vision } = loadDummyModel(name);
  const area = vision.spatialMergeSize ** 2;
  const dims = { ...vision.dims, patches, tokens: patches / area };
  expect(graphFlops(graph, { dims, attentionPairs: {} })).toBe(2 * patches * (tower + merger));
});

test("a number of key and value heads that does not divide the number of heads is refused", () => {
  const { model_type, vision_config } = ARCHITECTURES["exaone-4.5-33b"];
  const config = { model_type, vision_config: { ...vision_config, num_key_value_heads: 5 } };
  expect(() => createVisionModel(config)).toThrow(
    "vision_config.num_key_value_heads is 5: expected a divisor of num_heads 32",
  );
});

test.each<[ArchitectureName, object, object, string]>([
  [
    "llava-onevision-7b",
    { vision_aspect_ratio: "pad" },
    {},
    'vision_aspect_ratio is "pad": supported is anyres_max_ and a number of tiles',
  ],
  [
    "llava-onevision-7b",
    { image_grid_pinpoints: [[384, 400]] },
    {},
    "image_grid_pinpoints is a list of 1: expected pairs of a height and a width in multiples of image_size 384",
  ],
  ["llava-onevision-7b", {}, { model_type: "clip_vision_model" }, 'model_type is "clip_vision_model"'],
  [
    "command-a-vision",
    { alignment_intermediate_size: 7 },
    {},
    "alignment_intermediate_size is 7: expected an even number",
  ],
  ["command-a-vision", { downsample_factor: 3 }, {}, "expected a multiple of 3 patches of 16 pixels"],
  [
    "command-a-vision",
    {},
    { model_type: "siglip2_vision_model" },
    'model_type is "siglip2_vision_model": supported is "siglip_vision_model"',
  ],
  [
    "command-a-vision",
    { model_type: "aya_vision", vision_feature_layer: [-1, -2] },
    {},
    "vision_feature_layer is a list of 2",
  ],
  [
    "command-a-vision",
    { model_type: "aya_vision", vision_feature_select_strategy: "default" },
    {},
    'strategy is "default": supported is "full"',
  ],
  ["paligemma-3b-224", {}, { image_size: 225 }, "image_size is 225: expected a multiple of patch_size 14"],
  ["paligemma-3b-224", { projection_dim: 0 }, {}, "projection_dim is 0: expected a positive integer"],
  ["gemma-3-4b", { model_type: "t5gemma2" }, {}, "config.json has no encoder object"],
  ["llava-onevision-7b", { vision_feature_layer: [-1, -2] }, {}, "vision_feature_layer is a list of 2"],
  ["llava-1.6-7b", { vision_feature_layer: [-1, -25] }, {}, "vision_feature_layer is -25: supported is one"],
  [
    "llava-1.6-7b",
    { vision_feature_layer: new Array(25).fill(-1) },
    {},
    "vision_feature_layer is a list of 25",
  ],
  [
    "llava-1.6-7b",
    { vision_feature_select_strategy: "full" },
    {},
    'strategy is "full": supported is "default"',
  ],
  [
    "granite-vision-3-2b",
    {},
    { model_type: "clip_vision_model" },
    'strategy is "full": supported is "default"',
  ],
  [
    "llava-1.6-7b",
    {},
    { model_type: "pixtral" },
    'model_type is "pixtral": supported is "clip_vision_model"',
  ],
  ["llava-1.6-7b", { image_grid_pinpoints: [[336, 400]] }, {}, "in multiples of image_size 336"],
  [
    "llava-1.6-7b",
    { model_type: "llava_next_video", spatial_pool_mode: "max" },
    {},
    'spatial_pool_mode is "max": supported is "average"',
  ],
  [
    "llava-1.6-7b",
    { model_type: "llava_next_video", spatial_pool_stride: 4 },
    {},
    "spatial_pool_stride is 4: supported is 2",
  ],
  ["lfm2.5-vl-450m", {}, { num_patches: 200 }, "num_patches is 200: expected a square of at most 1024"],
  [
    "llama-4-scout",
    {},
    { pixel_shuffle_ratio: 0.3 },
    "pixel_shuffle_ratio is 0.3: expected one over a divisor",
  ],
  [
    "llama-4-scout",
    {},
    { projector_output_dim: 8 },
    "projector_output_dim is 8: expected projector_input_dim",
  ],
  ["minicpm-v-4.6", { downsample_mode: "4x" }, {}, 'downsample_mode is "4x": supported is "16x"'],
  ["minicpm-v-4.6", { insert_layer_id: 27 }, {}, "insert_layer_id is 27: expected a layer below"],
  ["glm-5.3-flash", {}, { swiglu_limit: 0 }, "swiglu_limit is 0: expected a positive number"],
  ["internvl3-2b", {}, { use_mean_pooling: false }, "use_mean_pooling is false: supported is true"],
  ["kimi-k2.5", {}, { pos_emb_time: 8 }, "vision_config.pos_emb_time is 8: supported is 4"],
  ["step3-vl-10b", {}, { use_cls_token: true }, "vision_config.use_cls_token is true: supported is false"],
  ["step3-vl-10b", {}, { image_size: 742 }, "vision_config.image_size is 742: expected a multiple of 56"],
  ["step3-vl-10b", {}, { mlp_ratio: 0 }, "vision_config.mlp_ratio is 0: expected a positive number"],
  ["dots.ocr", {}, { is_causal: true }, "vision_config.is_causal is true: supported is false"],
  ["dots.ocr", {}, { temporal_patch_size: 2 }, "vision_config.temporal_patch_size is 2: supported is 1"],
])("a config of %s with %j and %j in vision_config is refused", (name, changes, visionChanges, text) => {
  const { vision_config, ...config } = ARCHITECTURES[name];
  const changed = { ...config, ...changes, vision_config: { ...vision_config, ...visionChanges } };
  expect(() => createVisionModel(changed)).toThrow(text);
});

test("use_bias and post_norm select the tensors that dots.ocr reads", () => {
  const tensorsWith = (changes: object): readonly string[] => {
    const { model_type, vision_config } = ARCHITECTURES["dots.ocr"];
    const config = { model_type, vision_config: { ...vision_config, num_hidden_layers: 1, ...changes } };
    const { nodes } = createVisionModel(config).buildGraph({ channelScale: new Float32Array(6) });
    return nodes.flatMap(({ op, name }) => (op === "weight" ? [name] : []));
  };
  const norm = "post_trunk_norm.weight";
  const biases = ["attn.qkv", "attn.proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"].map(
    (layer) => `blocks.0.${layer}.bias`,
  );
  const published = tensorsWith({});
  expect(published).toContain(norm);
  expect(tensorsWith({ post_norm: false })).toEqual(published.filter((name) => name !== norm));
  expect(new Set(tensorsWith({ use_bias: true }))).toEqual(new Set([...published, ...biases]));
});

test("the FLOPs of the 8B tower equal those of its matrix products, counted by hand", () => {
  const { graph } = loadDummyModel("qwen3-vl-8b");
  const patches = 784;
  const dims = { patches, tokens: patches / 4, segments: 1 };
  const work = { dims, attentionPairs: { segments: patches ** 2 } };
  const blocks = 27 * (patches * 2 * (4 * 1152 ** 2 + 2 * 1152 * 4304) + 4 * patches ** 2 * 1152);
  const mergers = 4 * (patches / 4) * 2 * (4608 ** 2 + 4608 * 4096);
  expect(graphFlops(graph, work)).toBe(patches * 2 * 1536 * 1152 + blocks + mergers);
});

test("dummy weights need only the configuration of a checkpoint", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    await writeFile(join(directory, "config.json"), JSON.stringify(MINIATURE_CONFIG));
    await using model = await loadModel(directory, { loadFormat: "dummy" });
    expect(model.name).toBe(directory);
    expect(model.weights.get("blocks.1.norm2.weight")?.shape).toEqual([16]);
    await expect(loadModel(directory)).rejects.toMatchObject({ code: "VG_FILE_UNREADABLE" });
  } finally {
    await rm(directory, { recursive: true });
  }
});

const VIDEO_SIZE = { shortest_edge: 4096, longest_edge: 65_536 };

test.each([
  ["video_preprocessor_config.json", "video_preprocessor_config.json", { size: VIDEO_SIZE }],
  [
    "transformers 5's processor_config.json",
    "processor_config.json",
    { video_processor: { size: VIDEO_SIZE } },
  ],
])("settings of the video processor are read from %s", async (_, file, settings) => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    await writeFile(join(directory, "config.json"), JSON.stringify(MINIATURE_CONFIG));
    await using defaults = await loadModel(directory, { loadFormat: "dummy" });
    expect(defaults.videoProcessor).toMatchObject({ maxPixels: 786_432, boundsCover: "clip" });
    await writeFile(join(directory, file), JSON.stringify(settings));
    await using model = await loadModel(directory, { loadFormat: "dummy" });
    expect(model.videoProcessor).toMatchObject({ minPixels: 4096, maxPixels: 65_536 });
    expect(model.processor).toEqual(defaults.processor);
  } finally {
    await rm(directory, { recursive: true });
  }
});

describe("videos of a checkpoint without video settings", () => {
  const patches = { patch_size: 16, merge_size: 2, temporal_patch_size: 2 };
  const size = { shortest_edge: 3136, longest_edge: 50_176 };
  const clip = [3, 4, 6];
  const frame = [3, 10, 16];
  const unset = [3, 12, 18];

  // video_grid_thw by AutoVideoProcessor of transformers 5.17.0: 6 frames of 200 × 300, this preprocessor_config.json.
  test.each([
    ["qwen3_vl", { size }, clip],
    ["qwen3_vl", { size, image_processor_type: "Qwen2VLImageProcessor" }, frame],
    ["qwen3_vl", { size, image_processor_type: "Qwen2VLImageProcessorFast" }, clip],
    ["qwen3_vl", { size, do_center_crop: true, crop_size: { height: 64, width: 64 } }, clip],
    // Qwen3VLVideoProcessor ignores these two keys, Qwen2VLVideoProcessor reads them.
    ["qwen3_vl", { min_pixels: 3136, max_pixels: 50_176 }, unset],
    ["qwen3_5", { size }, clip],
    ["qwen3_5_moe", { size, image_processor_type: "Qwen2VLImageProcessor" }, frame],
    ["qwen3_omni_moe", { size }, frame],
    ["qwen3_omni_moe", { min_pixels: 3136, max_pixels: 50_176 }, frame],
    ["qwen3_omni_moe", { size, image_processor_type: "Qwen3VLImageProcessor" }, clip],
  ])("%s uses the image settings %j", async (model_type, settings, [t, h, w]) => {
    const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
    try {
      const vision_config = { ...MINIATURE_CONFIG.vision_config, patch_size: 16 };
      const config = model_type.includes("omni") ? { thinker_config: { vision_config } } : { vision_config };
      await writeFile(join(directory, "config.json"), JSON.stringify({ model_type, ...config }));
      await writeFile(
        join(directory, "preprocessor_config.json"),
        JSON.stringify({ ...patches, ...settings }),
      );
      await using model = await loadModel(directory, { loadFormat: "dummy" });
      expect(videoGrid(6, { height: 200, width: 300 }, model.videoProcessor!)).toEqual({
        ...{ t, h, w },
        isClip: true,
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

test("without a patch size in the files, processors use the tower's", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    await writeFile(join(directory, "config.json"), JSON.stringify(MINIATURE_CONFIG));
    await using model = await loadModel(directory, { loadFormat: "dummy" });
    expect(model.processor.patchSize).toBe(2);
    expect(model.videoProcessor?.patchSize).toBe(2);
    for (const [key, found] of [
      ["patch_size", 16],
      ["merge_size", 1],
      ["temporal_patch_size", 1],
    ] as const) {
      await writeFile(join(directory, "preprocessor_config.json"), JSON.stringify({ [key]: found }));
      await expect(loadModel(directory, { loadFormat: "dummy" })).rejects.toMatchObject({
        code: "VG_MODEL_INVALID",
        message: expect.stringContaining(
          `preprocessor_config.json has ${key} ${found}, but vision_config makes it 2`,
        ),
      });
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("an absent list of deepstack layers means none in Qwen3.5", () => {
  const { deepstack_visual_indexes, ...vision_config } = MINIATURE_CONFIG.vision_config;
  expect(deepstack_visual_indexes).toEqual([0]);
  expect(createVisionModel({ model_type: "qwen3_5", vision_config }).outputColumns).toEqual([8]);
});

test("random weights of different shapes have different fingerprints", () => {
  const [large, small] = (["qwen2-vl-7b", "qwen2-vl-2b"] as const).map(loadDummyModel);
  expect(large!.fingerprint).not.toBe(small!.fingerprint);
  expect(loadDummyModel("qwen2-vl-7b").fingerprint).toBe(large!.fingerprint);
});

test("new weights of the same shapes in the same directory change the fingerprint", async () => {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const fingerprint = async () => {
    await using model = await loadModel(directory);
    return model.fingerprint;
  };
  try {
    await writeMiniatureCheckpoint(directory);
    const first = await fingerprint();
    expect(await fingerprint()).toBe(first);
    await writeMiniatureCheckpoint(directory, {
      edit: (tensors) =>
        tensors.map((tensor) => ({ ...tensor, bytes: tensor.bytes.map((byte) => byte ^ 1) })),
    });
    expect(await fingerprint()).not.toBe(first);
    await expect(loadModel(directory, { mmProcessorKwargs: { max_pixel: 1 } })).rejects.toThrow("max_pixel");
    const index = { weight_map: { "model.visual.x": "../model.safetensors" } };
    await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify(index));
    await expect(loadModel(directory)).rejects.toThrow('names the file "../model.safetensors"');
  } finally {
    await rm(directory, { recursive: true });
  }
});

describe("a checkpoint", () => {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const writeConfig = (config: unknown) => writeFile(join(directory, "config.json"), JSON.stringify(config));
  /** Replaces the weight of an attention projection by a quantised one. */
  const packed =
    (dtype: "U8" | "I32", suffix = "") =>
    (tensors: TensorData[]) =>
      tensors.flatMap((tensor): TensorData[] => {
        if (!tensor.name.endsWith("blocks.0.attn.qkv.weight")) return [tensor];
        const bytes = new Uint8Array(64);
        const shape = [dtype === "U8" ? 64 : 16];
        return [
          { name: tensor.name, dtype, shape, bytes },
          ...(suffix === "" ? [] : [{ name: tensor.name + suffix, dtype, shape, bytes }]),
        ];
      });

  test("with tensors under an unknown prefix loads with a note", async () => {
    await writeMiniatureCheckpoint(directory, { prefix: "thinker.visual." });
    await using model = await loadModel(directory);
    expect(model.notes).toEqual([
      "the vision tower's tensors have the prefix thinker.visual. instead of model.visual.",
    ]);
    await writeMiniatureCheckpoint(directory);
    await using usual = await loadModel(directory);
    expect(usual.notes).toEqual([]);
  });

  test("with a quantised tower is refused with the name of the method", async () => {
    await writeMiniatureCheckpoint(directory, { edit: packed("I32") });
    await writeConfig({ ...MINIATURE_CONFIG, quantization_config: { quant_method: "awq" } });
    await expect(loadModel(directory)).rejects.toThrow(/awq/);
    await writeConfig(MINIATURE_CONFIG);
    await writeMiniatureCheckpoint(directory, { edit: packed("U8", ".quant_state.bitsandbytes__nf4") });
    await expect(loadModel(directory)).rejects.toThrow(/bitsandbytes/);
  });

  // As in transformers, a layer's index in the list selects the merger, and features are in layer order.
  test.each([
    [
      [0, 1],
      ["0", "1"],
    ],
    [
      [1, 0],
      ["1", "0"],
    ],
  ])("with the deepstack layers %j runs the mergers %j", async (deepstack_visual_indexes, mergers) => {
    await writeConfig({
      ...MINIATURE_CONFIG,
      vision_config: { ...MINIATURE_CONFIG.vision_config, deepstack_visual_indexes },
    });
    await using model = await loadModel(directory, { loadFormat: "dummy" });
    const used = model.graph.nodes.flatMap((node) =>
      node.op === "weight"
        ? (/^deepstack_merger_list\.(\d)\.linear_fc1\.weight/.exec(node.attributes.tensor)?.[1] ?? [])
        : [],
    );
    expect(used).toEqual(mergers);
  });

  test("with NaN in config.json, as written by Python, is parsed: only the missing tower is refused", async () => {
    await writeFile(join(directory, "config.json"), '{"model_type": "qwen3_vl", "x": NaN}');
    await expect(loadModel(directory)).rejects.toThrow("config.json has no vision_config object");
  });

  test.each([
    ["depth", 1e9],
    ["hidden_size", 2 ** 40],
    ["num_heads", 0],
    ["patch_size", -16],
    ["num_position_embeddings", 1.5],
  ])("refuses a vision_config with %s %d before it allocates", async (key, value) => {
    await writeConfig({
      ...MINIATURE_CONFIG,
      vision_config: { ...MINIATURE_CONFIG.vision_config, [key]: value },
    });
    const error = await loadModel(directory, { loadFormat: "dummy" }).catch((error: unknown) => error);
    expect(error).toMatchObject({ message: expect.stringContaining(key) });
    expect((error as { code: string }).code).toMatch(/^VG_MODEL_/);
  });

  test("without a size in its processor file uses the bounds of the processor class", async () => {
    await writeConfig(MINIATURE_CONFIG);
    const file = { image_processor_type: "Qwen2VLImageProcessorFast", patch_size: 2, merge_size: 2 };
    await writeFile(join(directory, "preprocessor_config.json"), JSON.stringify(file));
    await using model = await loadModel(directory, { loadFormat: "dummy" });
    expect(model.processor).toMatchObject({ minPixels: 3136, maxPixels: 1_003_520 });
  });

  test("with an unknown key in its processor file is refused with the nearest known key", async () => {
    await writeConfig(MINIATURE_CONFIG);
    await writeFile(join(directory, "preprocessor_config.json"), JSON.stringify({ max_pixel: 4096 }));
    await expect(loadModel(directory, { loadFormat: "dummy" })).rejects.toThrow(/max_pixel.*max_pixels/s);
  });
});

test.each(Object.keys(ARCHITECTURES))(
  "%s builds a graph, and stillGrids returns at most the requested tokens",
  (name) => {
    const vision = createVisionModel({ ...ARCHITECTURES[name as ArchitectureName] });
    const graph = vision.buildGraph({ channelScale: new Float32Array(6) });
    expect(graph.outputs).toHaveLength(vision.outputColumns.length);
    const tokens = Math.max(1024, vision.minTokenBudget);
    const grids = stillGrids(vision, tokens);
    expect(grids.length).toBeGreaterThan(0);
    expect(grids.reduce((sum, grid) => sum + outputTokensOf(vision, grid), 0)).toBeLessThanOrEqual(tokens);
  },
);

// Configs as in the checkpoints' files, which omit keys or use other names.
test.each<[ArchitectureName, Readonly<Record<string, unknown>>]>([
  [
    "smolvlm2-500m",
    {
      model_type: "smolvlm",
      scale_factor: 4,
      text_config: { hidden_size: 960 },
      vision_config: { hidden_size: 768, image_size: 512, num_attention_heads: 12, patch_size: 16 },
    },
  ],
  [
    "pixtral-12b",
    {
      model_type: "llava",
      projector_hidden_act: "gelu",
      text_config: { hidden_size: 5120 },
      vision_config: {
        head_dim: 64,
        hidden_act: "silu",
        image_size: 1024,
        model_type: "pixtral",
        patch_size: 16,
      },
      vision_feature_layer: -1,
      vision_feature_select_strategy: "full",
    },
  ],
  [
    "kimi-k2.5",
    {
      model_type: "kimi_k25",
      text_config: { hidden_size: 7168 },
      vision_config: {
        init_pos_emb_height: 64,
        init_pos_emb_width: 64,
        merge_kernel_size: [2, 2],
        patch_size: 14,
        projector_ln_eps: 1e-5,
        vt_hidden_size: 1152,
        vt_intermediate_size: 4304,
        vt_num_attention_heads: 16,
        vt_num_hidden_layers: 27,
      },
    },
  ],
  [
    "kimi-vl-a3b",
    {
      model_type: "kimi_vl",
      text_config: { hidden_size: 2048 },
      vision_config: {
        hidden_size: 1152,
        init_pos_emb_height: 64,
        init_pos_emb_width: 64,
        intermediate_size: 4304,
        merge_kernel_size: [2, 2],
        model_type: "moonvit",
        num_attention_heads: 16,
        num_hidden_layers: 27,
        patch_size: 14,
      },
    },
  ],
  [
    "internvl3-2b",
    {
      model_type: "internvl_chat",
      downsample_ratio: 0.5,
      dynamic_image_size: true,
      force_image_size: 448,
      llm_config: { hidden_size: 1536, model_type: "qwen2" },
      max_dynamic_patch: 12,
      min_dynamic_patch: 1,
      ps_version: "v2",
      select_layer: -1,
      use_thumbnail: true,
      vision_config: {
        hidden_act: "gelu",
        hidden_size: 1024,
        image_size: 448,
        intermediate_size: 4096,
        norm_type: "layer_norm",
        num_attention_heads: 16,
        num_hidden_layers: 24,
        patch_size: 14,
        qk_normalization: false,
        qkv_bias: true,
      },
    },
  ],
  [
    "ernie-4.5-vl-28b-a3b",
    {
      model_type: "ernie4_5_moe_vl",
      hidden_size: 2560,
      pixel_hidden_size: 1280,
      rms_norm_eps: 1e-5,
      spatial_conv_size: 2,
      temporal_conv_size: 2,
      use_temporal_conv: true,
      vision_config: {
        depth: 32,
        embed_dim: 1280,
        hidden_act: "quick_gelu",
        hidden_size: 1280,
        in_channels: 3,
        mlp_ratio: 4,
        model_type: "DFNRope_vision_transformer",
        num_heads: 16,
        patch_size: 14,
        spatial_merge_size: 2,
      },
    },
  ],
  [
    "step-3.7-flash",
    {
      model_type: "step3p7",
      projector_bias: false,
      text_config: { hidden_size: 4096 },
      vision_config: {
        hidden_act: "quick_gelu",
        hidden_size: 1536,
        image_size: 728,
        intermediate_size: 8960,
        layer_norm_eps: 1e-5,
        mlp_ratio: 5.833333333333333,
        model_type: "step3p5_vision",
        num_attention_heads: 16,
        num_channels: 3,
        num_hidden_layers: 47,
        patch_size: 14,
        rope_parameters: { rope_theta: 10000, rope_type: "axial" },
      },
    },
  ],
  [
    "lighton-ocr-1b",
    {
      architectures: ["LightOnOCRForConditionalGeneration"],
      model_type: "mistral3",
      multimodal_projector_bias: false,
      projector_hidden_act: "gelu",
      spatial_merge_size: 2,
      text_config: { hidden_size: 1024, rms_norm_eps: 1e-6 },
      vision_config: {
        head_dim: 64,
        hidden_act: "silu",
        hidden_size: 1024,
        image_size: 1540,
        intermediate_size: 4096,
        model_type: "pixtral",
        num_attention_heads: 16,
        num_channels: 3,
        num_hidden_layers: 24,
        patch_size: 14,
        rope_theta: 10000,
      },
      vision_feature_layer: -1,
    },
  ],
  [
    "minimax-m3",
    {
      architectures: ["MiniMaxM3SparseForConditionalGeneration"],
      model_type: "minimax_m3_vl",
      image_seq_length: 576,
      multimodal_projector_bias: true,
      process_image_mode: "dynamic_res",
      projector_hidden_act: "gelu",
      projector_hidden_size: 6144,
      text_config: { hidden_size: 6144, rms_norm_eps: 1e-6 },
      vision_config: {
        hidden_act: "gelu",
        hidden_size: 1280,
        image_size: 2016,
        img_token_compression_config: {
          image_token_compression_method: "patch_merge",
          spatial_merge_size: 2,
          temporal_patch_size: 2,
        },
        intermediate_size: 5120,
        layer_norm_eps: 1e-5,
        model_type: "clip_vision_model",
        num_attention_heads: 16,
        num_channels: 3,
        num_hidden_layers: 32,
        patch_size: 14,
        position_embedding_type: "rope",
        projection_dim: 6144,
        rope_mode: "3d",
        rope_theta: 10000,
        vision_segment_max_frames: 4,
      },
      vision_feature_layer: -1,
      vision_feature_select_strategy: "full",
    },
  ],
  [
    "llava-1.6-7b",
    {
      architectures: ["LlavaNextForConditionalGeneration"],
      image_grid_pinpoints: [
        [336, 672],
        [672, 336],
        [672, 672],
        [1008, 336],
        [336, 1008],
      ],
      model_type: "llava_next",
      projector_hidden_act: "gelu",
      text_config: { intermediate_size: 14336, model_type: "mistral" },
      vision_config: {
        hidden_size: 1024,
        image_size: 336,
        intermediate_size: 4096,
        model_type: "clip_vision_model",
        num_attention_heads: 16,
        num_hidden_layers: 24,
        patch_size: 14,
        projection_dim: 768,
      },
      vision_feature_layer: -2,
      vision_feature_select_strategy: "default",
    },
  ],
  [
    "paligemma-3b-224",
    {
      architectures: ["PaliGemmaForConditionalGeneration"],
      hidden_size: 2048,
      ignore_index: -100,
      image_token_index: 257_152,
      model_type: "paligemma",
      projection_dim: 2048,
      text_config: { hidden_size: 2048, model_type: "gemma", num_image_tokens: 256 },
      vision_config: {
        hidden_size: 1152,
        intermediate_size: 4304,
        model_type: "siglip_vision_model",
        num_attention_heads: 16,
        num_hidden_layers: 27,
        num_image_tokens: 256,
        patch_size: 14,
        projection_dim: 4096,
        projector_hidden_act: "gelu_fast",
        vision_use_head: false,
      },
    },
  ],
  [
    "muse-glimmer-30b",
    {
      architectures: ["MuseGlimmerForConditionalGeneration"],
      model_type: "muse_glimmer",
      out_hidden_size: 6144,
      projector_hidden_act: "gelu",
      projector_hidden_size: 4096,
      text_config: { hidden_size: 6656, model_type: "muse_glimmer_text", rms_norm_eps: 1e-5 },
      vision_config: {
        hidden_act: "gelu",
        hidden_size: 1536,
        intermediate_size: 8960,
        layer_norm_eps: 1e-5,
        layer_types: Array.from({ length: 50 }, (_, layer) =>
          layer % 4 === 3 || layer === 49 ? "full_attention" : "window_attention",
        ),
        max_position_embeddings: 1024,
        merge_size: 2,
        model_type: "muse_glimmer_vision",
        num_attention_heads: 16,
        num_hidden_layers: 50,
        patch_size: 14,
        patch_temporal: 2,
        pos_emb_height: 32,
        pos_emb_width: 32,
        rope_parameters: { rope_theta: 10000.0, rope_type: "default" },
      },
    },
  ],
])("the config.json of %s describes the tower of its published sizes", (name, config) => {
  const published = createVisionModel({ ...ARCHITECTURES[name] });
  expect(createVisionModel(config).config).toMatchObject(published.config);
});

test.each([undefined, "", 5])("the model %j is refused", async (model) => {
  await expect(loadModel(model as string)).rejects.toMatchObject({
    code: "VG_ARGUMENT_INVALID",
    remedy: "pass a checkpoint's directory, or a model's id",
  });
});

test("T5Gemma 2 has Gemma 3's tower, under another model type and in another place of config.json", () => {
  const { model_type: _, ...gemma } = ARCHITECTURES["gemma-3-4b"];
  const vision = createVisionModel({ model_type: "t5gemma2", encoder: gemma, decoder: { hidden_size: 64 } });
  const expected = createVisionModel({ ...ARCHITECTURES["gemma-3-4b"] });
  expect(vision.config).toEqual(expected.config);
  expect(vision.modelType).toBe("t5gemma2");
});

test("without alignment_intermediate_size, Aya Vision's is the width of the language model", () => {
  const config = { ...ARCHITECTURES["command-a-vision"], model_type: "aya_vision" };
  expect(createVisionModel(config).config.alignment_intermediate_size).toBe(12_288);
});
