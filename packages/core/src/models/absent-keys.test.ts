/** Absent keys, nulls and other names of keys in config.json are read as by transformers' class, or refused. */
import { expect, test } from "vitest";
import { ARCHITECTURES, type ArchitectureName } from "./architectures.js";
import { createVisionModel } from "./index.js";

type Config = Readonly<Record<string, unknown>>;

/** The published config with the changes. An undefined value removes a key. */
function changed(name: ArchitectureName, { vision_config = {}, ...others }: Config): Config {
  const published = ARCHITECTURES[name];
  const vision = { ...published.vision_config, ...(vision_config as Config) };
  return { ...published, ...others, vision_config: vision };
}

const CLIP = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 224,
  patch_size: 32,
  hidden_act: "quick_gelu",
  layer_norm_eps: 1e-5,
};
const SIGLIP = { ...CLIP, patch_size: 16, hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6 };
/** Removes the keys of the published towers. */
const ABSENT = Object.fromEntries(Object.keys(CLIP).map((key) => [key, undefined]));

test.each<[name: ArchitectureName, changes: Config, expected: Config]>([
  // Only an absent vision_config is the composite's tower of 1024 columns, and that is refused.
  ["llava-1.5-7b", { vision_config: ABSENT }, { ...CLIP, layers: 11 }],
  ["llava-1.6-7b", { vision_config: ABSENT, image_grid_pinpoints: [[224, 448]] }, CLIP],
  [
    "granite-vision-3-2b",
    { vision_config: ABSENT, image_grid_pinpoints: [[224, 448]], vision_feature_layer: -1 },
    SIGLIP,
  ],
  [
    "llava-onevision-7b",
    { vision_config: ABSENT, image_grid_pinpoints: [[224, 448]] },
    { ...SIGLIP, layers: 12 },
  ],
  ["gemma-3-4b", { vision_config: ABSENT, mm_tokens_per_image: 49 }, SIGLIP],
  [
    "paligemma-3b-224",
    { vision_config: ABSENT, projection_dim: undefined },
    { ...SIGLIP, projection_dim: 2048 },
  ],
  ["command-a-vision", { vision_config: ABSENT, text_config: {} }, { ...SIGLIP, text_hidden_size: 8192 }],
  ["muse-glimmer-30b", { text_config: {} }, { text_hidden_size: 6656, text_rms_norm_eps: 1e-5 }],
  ["gemma-4-12b", { text_config: {} }, { text_hidden_size: 2304 }],
  // As in transformers, not four times the width.
  [
    "ernie-4.5-vl-28b-a3b",
    { vision_config: { hidden_size: 640, intermediate_size: undefined, mlp_ratio: 3 } },
    { intermediate_size: 5120 },
  ],
  [
    "ernie-4.5-vl-28b-a3b",
    {
      model_type: "ernie4_5_moe_vl",
      vision_config: { hidden_size: 640, intermediate_size: undefined, mlp_ratio: 3 },
    },
    { intermediate_size: 1920 },
  ],
  // The language model's class has the default.
  ["llava-1.6-7b", { text_config: { model_type: "mistral" } }, { text_hidden_size: 4096 }],
  ["lfm2.5-vl-450m", { text_config: {} }, { text_hidden_size: 2560 }],
  ["lfm2.5-vl-450m", { text_config: { model_type: "lfm2_moe" } }, { text_hidden_size: 2048 }],
  ["internvl3-8b", { text_config: { model_type: "gpt_oss" } }, { text_hidden_size: 2880 }],
  ["mistral-small-3.1-24b", { text_config: {} }, { text_hidden_size: 4096, text_rms_norm_eps: 1e-6 }],
  ["mistral-small-3.1-24b", { text_config: { model_type: "ministral3" } }, { text_rms_norm_eps: 1e-5 }],
  ["kimi-k2.5", { text_config: { model_type: "kimi_k2" } }, { text_hidden_size: 7168 }],
  ["llava-1.5-7b", { text_config: { model_type: "phi3", hidden_size: 3072 } }, { text_hidden_size: 3072 }],
  // Names that transformers maps to others, which win.
  ["qwen2-vl-2b", { vision_config: { num_attention_heads: 8 } }, { num_heads: 8 }],
  ["qwen2.5-vl-3b", { vision_config: { num_heads: undefined, num_attention_heads: 8 } }, { num_heads: 8 }],
  ["qwen3-vl-2b", { vision_config: { num_attention_heads: 8 } }, { num_heads: 8 }],
  ["glm-ocr", { vision_config: { num_attention_heads: 8 } }, { num_heads: 8 }],
  ["ernie-4.5-vl-28b-a3b", { vision_config: { num_attention_heads: 8 } }, { num_heads: 8 }],
  ["hunyuan-ocr-1b", { vision_config: { layer_norm_eps: 1e-4, rms_norm_eps: 1e-6 } }, { rms_norm_eps: 1e-4 }],
  ["step-3.7-flash", { vision_config: { layers: 2, num_hidden_layers: 3 } }, { num_hidden_layers: 2 }],
  [
    "kimi-k2.5",
    { vision_config: { vt_num_hidden_layers: 2, num_hidden_layers: 3 } },
    { num_hidden_layers: 2 },
  ],
  // RoPE.
  ["qwen3-vl-2b", { vision_config: { rope_parameters: null } }, { rope_theta: 10_000 }],
  ["qwen3-vl-2b", { vision_config: { rope_theta: 500, rope_parameters: {} } }, { rope_theta: 500 }],
  [
    "qwen3-vl-2b",
    { vision_config: { rope_theta: 500, rope_parameters: { rope_theta: 7 } } },
    { rope_theta: 7 },
  ],
  [
    "qwen3-vl-2b",
    {
      vision_config: {
        rope_scaling: { rope_type: "default" },
        rope_theta: 500,
        rope_parameters: { rope_theta: 7 },
      },
    },
    { rope_theta: 500 },
  ],
  ["gemma-4-e2b", { vision_config: { rope_scaling: null } }, { rope_theta: 100 }],
])("%s with %j", (name, changes, expected) => {
  expect(createVisionModel(changed(name, changes)).config).toMatchObject(expected);
});

test.each<[name: ArchitectureName, changes: Config, text: string]>([
  [
    "llava-1.5-7b",
    { text_config: { model_type: "phi3" } },
    "config.json has no text_config.hidden_size: add",
  ],
  ["idefics3-8b", { text_config: { model_type: 5 } }, "config.json has no text_config.hidden_size: add"],
  [
    "command-a-vision",
    { text_config: { model_type: "llama" } },
    "config.json has no text_config.hidden_size: add",
  ],
  ["gemma-4-31b", { vision_config: { head_dim: undefined } }, "vision_config.head_dim is 64: expected 72"],
  [
    "gemma-4-31b",
    { vision_config: { num_key_value_heads: undefined } },
    "vision_config.num_key_value_heads is 12: expected 16",
  ],
  ["hunyuan-ocr-1b", { vision_config: { attention_heads: 8 } }, "num_key_value_heads is 16: expected 8"],
  // LLaVA's defaults.
  ["pixtral-12b", { vision_feature_layer: undefined }, "vision_feature_layer is -2: supported is -1"],
  [
    "pixtral-12b",
    { vision_feature_select_strategy: undefined },
    'vision_feature_select_strategy is "default": supported is "full"',
  ],
  ["internvl3-8b", { vision_feature_select_strategy: "full" }, 'vision_feature_select_strategy is "full"'],
  // Towers of another class.
  ["exaone-4.5-33b", { vision_config: { model_type: "qwen2_5_vl_vision" } }, "vision_config.model_type is"],
  ["lfm2.5-vl-450m", { vision_config: { model_type: "siglip_vision_model" } }, "vision_config.model_type is"],
  [
    "mistral-small-3.1-24b",
    { vision_config: { model_type: "clip_vision_model" } },
    "vision_config.model_type is",
  ],
  // A null is no absent key.
  [
    "qwen3-vl-2b",
    { vision_config: { depth: null } },
    "vision_config.depth is null: expected a positive integer",
  ],
  ["llava-1.5-7b", { vision_config: { patch_size: null } }, "vision_config.patch_size is null: expected"],
  [
    "llava-1.5-7b",
    { vision_config: { hidden_act: null } },
    "vision_config.hidden_act is null: expected a string",
  ],
  ["llava-1.5-7b", { vision_config: { model_type: null } }, "vision_config.model_type is null: supported is"],
  ["llava-1.5-7b", { vision_feature_layer: null }, "vision_feature_layer is null: supported is"],
  ["llava-1.5-7b", { text_config: { hidden_size: null } }, "text_config.hidden_size is null: expected"],
  [
    "llava-1.5-7b",
    { multimodal_projector_bias: null },
    "multimodal_projector_bias is null: expected true or false",
  ],
  ["llava-onevision-7b", { vision_aspect_ratio: null }, "vision_aspect_ratio is null: supported is"],
  ["gemma-3-4b", { mm_tokens_per_image: null }, "mm_tokens_per_image is null: expected a positive integer"],
  ["gemma-4-e2b", { vision_config: { rope_theta: null } }, "vision_config.rope_theta is null: expected"],
  ["minicpm-v-4.6", { insert_layer_id: null }, "insert_layer_id is null: expected a layer"],
  [
    "qwen3-vl-2b",
    { vision_config: { deepstack_visual_indexes: null } },
    "is null: expected a list of layer numbers",
  ],
  // RoPE that the kernels do not have.
  [
    "qwen3-vl-2b",
    { vision_config: { rope_parameters: { rope_type: "linear", factor: 2 } } },
    'vision_config.rope_parameters.rope_type is "linear": supported are axial, default',
  ],
  [
    "qwen3-vl-2b",
    { vision_config: { rope_scaling: { type: "yarn" }, rope_parameters: { rope_theta: 7 } } },
    'vision_config.rope_scaling.rope_type is "yarn": supported are',
  ],
  [
    "qwen3-vl-2b",
    { vision_config: { rope_parameters: [7] } },
    "config.json has no vision_config.rope_parameters object",
  ],
])("%s with %j is refused", (name, changes, text) => {
  expect(() => createVisionModel(changed(name, changes))).toThrow(text);
});

/**
 * transformers stores every key. The RoPE of these families makes its tables of `head_dim`, and the tower fails with
 * another value than that of its attention.
 */
test.each<[name: ArchitectureName, headSize: number]>([
  ["qwen2-vl-2b", 80],
  ["qwen2.5-vl-3b", 80],
  ["exaone-4.5-33b", 64],
  ["qwen3-vl-2b", 64],
  ["glm-ocr", 64],
  ["ernie-4.5-vl-28b-a3b", 80],
  ["kimi-k2.5", 72],
  ["paddleocr-vl-0.9b", 72],
  ["minimax-m3", 80],
  ["muse-glimmer-30b", 96],
  ["step-3.7-flash", 96],
  ["pixtral-12b", 64],
])("the head_dim of %s is %i", (name, headSize) => {
  const config = (head_dim: unknown) => changed(name, { vision_config: { head_dim } });
  const usual = createVisionModel(config(undefined)).config;
  expect(createVisionModel(config(headSize)).config).toEqual(usual);
  expect(createVisionModel(config(null)).config).toEqual(usual);
  expect(() => createVisionModel(config(128))).toThrow(
    `vision_config.head_dim is 128: supported is ${headSize}`,
  );
});

// No class of these reads the key.
test.each<ArchitectureName>([
  "llava-1.5-7b",
  "gemma-3-4b",
  "internvl3-8b",
  "llama-4-scout",
  "hunyuan-ocr-1b",
])("a head_dim of %s is ignored", (name) => {
  const config = (head_dim: unknown) => changed(name, { vision_config: { head_dim } });
  expect(createVisionModel(config(7)).config).toEqual(createVisionModel(config(undefined)).config);
});

/** InternVL's original layout, for which the checkpoints' own class has the defaults. */
const CHAT = {
  model_type: "internvl_chat",
  ps_version: "v2",
  llm_config: { hidden_size: 1536 },
  vision_config: {
    hidden_size: 1024,
    image_size: 448,
    norm_type: "layer_norm",
    num_attention_heads: 16,
    num_hidden_layers: 24,
    intermediate_size: 4096,
    qk_normalization: false,
  },
};

test.each<[changes: Config, tiles: object]>([
  [{}, { min: 1, max: 1, thumbnail: false }],
  [{ dynamic_image_size: true }, { min: 1, max: 6, thumbnail: false }],
  [
    { dynamic_image_size: true, max_dynamic_patch: 12, use_thumbnail: true },
    { min: 1, max: 12, thumbnail: true },
  ],
])("internvl_chat with %j has the tiles %j", (changes, tiles) => {
  expect(createVisionModel({ ...CHAT, ...changes }).config).toMatchObject({ attention_bias: false, tiles });
});

test.each<[changes: Config, vision: Config, text: string]>([
  [{ ps_version: undefined }, {}, 'ps_version is "v1": supported is "v2"'],
  [{}, { norm_type: undefined }, 'norm_type is "rms_norm": supported is "layer_norm"'],
  [{}, { qk_normalization: undefined }, "qk_normalization is true: supported is false"],
  [{ force_image_size: 448 }, { image_size: undefined }, "force_image_size is 448: supported is 224"],
  [{ llm_config: { model_type: "phi3" } }, {}, "config.json has no llm_config.hidden_size: add"],
])("internvl_chat with %j and %j in vision_config is refused", (changes, vision, text) => {
  const vision_config = { ...CHAT.vision_config, ...vision };
  expect(() => createVisionModel({ ...CHAT, ...changes, vision_config })).toThrow(text);
});
