/**
 * Reads the vision part of an InternVL config.json in both layouts: transformers' (`internvl`), and the original one
 * (`internvl_chat`), which has other key names and is the most common.
 */
import { describe, VitgraphError } from "@vitgraph/errors";
import {
  checkHeads,
  checkPatch,
  objectIn,
  readBoolean,
  readPositiveNumber,
  readTextConfigOf,
  readTopLevel,
  readVisionConfig,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

type Config = Readonly<Record<string, unknown>>;

/** Names and defaults as in transformers' InternVLVisionConfig and QianfanOCRVisionConfig. */
const DEFAULTS = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  num_channels: 3,
  hidden_act: "gelu",
  norm_type: "layer_norm",
};

/** The same for the InternVisionConfig of the original layout, which describes InternViT-6B. */
const CHAT_DEFAULTS = {
  hidden_size: 3200,
  intermediate_size: 12_800,
  num_hidden_layers: 48,
  num_attention_heads: 25,
  num_channels: 3,
  hidden_act: "gelu",
  norm_type: "rms_norm",
};

/** Sizes in pixels. transformers' layout has lists [height, width]. */
const SIDES = { image_size: 448, patch_size: 14 };
const CHAT_SIDES = { image_size: 224, patch_size: 14 };

/** Keys at the top level of config.json. */
const PROJECTOR_DEFAULTS = { projector_hidden_act: "gelu" };

/** Keys of the original layout at the top level. */
const TILE_DEFAULTS = { min_dynamic_patch: 1, max_dynamic_patch: 6 };

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = {
  qwen2: { hidden_size: 4096 },
  qwen3: { hidden_size: 4096 },
  llama: { hidden_size: 4096 },
  internlm2: { hidden_size: 4096 },
  qwen3_moe: { hidden_size: 2048 },
  gpt_oss: { hidden_size: 2880 },
};

export type InternVLModelType = "internvl" | "internvl_chat" | "qianfan_ocr";

export type InternVLConfig = ReturnType<typeof readInternVLConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readInternVLConfig(checkpointConfig: Config, modelType: InternVLModelType) {
  const chat = modelType === "internvl_chat";
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, chat ? CHAT_DEFAULTS : DEFAULTS);
  const sides = readVisionConfig(
    { image_size: sideOf(visionConfig, "image_size"), patch_size: sideOf(visionConfig, "patch_size") },
    chat ? CHAT_SIDES : SIDES,
  );
  const textKey = chat ? "llm_config" : "text_config";
  const text = readTextConfigOf(objectIn(checkpointConfig, textKey, textKey), TEXT_DEFAULTS, textKey);
  refuse("norm_type", vision.norm_type, "layer_norm");
  if (chat) {
    const { select_layer = -1, ps_version = "v1", force_image_size } = checkpointConfig;
    const { qk_normalization = true } = visionConfig;
    refuse("qk_normalization", qk_normalization, false);
    refuse("select_layer", select_layer, -1);
    refuse("ps_version", ps_version, "v2");
    refuse("force_image_size", force_image_size ?? sides.image_size, sides.image_size);
  } else {
    const { vision_feature_layer = -1, vision_feature_select_strategy = "default" } = checkpointConfig;
    const { use_qk_norm = false, use_mean_pooling = true } = visionConfig;
    refuse("use_qk_norm", use_qk_norm, false);
    refuse("vision_feature_layer", vision_feature_layer, -1);
    refuse("vision_feature_select_strategy", vision_feature_select_strategy, "default");
    // Without mean pooling, transformers adds a norm.
    refuse("use_mean_pooling", use_mean_pooling, true);
  }
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    rope: false,
  });
  checkPatch(vision.num_channels, sides.patch_size);
  const side = sides.image_size / sides.patch_size;
  const merge = 1 / readPositiveNumber(checkpointConfig, "downsample_ratio", 0.5, "");
  if (!Number.isInteger(side))
    throw wrongConfig("vision_config.image_size", sides.image_size, "a multiple of patch_size");
  if (!Number.isInteger(merge) || side % merge !== 0)
    throw wrongConfig("downsample_ratio", 1 / merge, `one over a divisor of ${side} patches`);
  return {
    ...vision,
    ...sides,
    ...readTopLevel(checkpointConfig, PROJECTOR_DEFAULTS),
    ...(chat && { tiles: readTiles(checkpointConfig) }),
    attention_bias: readBoolean(
      visionConfig,
      chat ? "qkv_bias" : "attention_bias",
      modelType === "qianfan_ocr",
    ),
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6),
    text_hidden_size: text.hidden_size,
    /** Patches along one side of a tile. */
    side,
    merge,
  };
}

/** Without `dynamic_image_size` an image is one tile. */
function readTiles(checkpointConfig: Config) {
  const isTiled = readBoolean(checkpointConfig, "dynamic_image_size", false, "");
  const { min_dynamic_patch: min, max_dynamic_patch: max } = readTopLevel(checkpointConfig, TILE_DEFAULTS);
  const thumbnail = readBoolean(checkpointConfig, "use_thumbnail", false, "");
  return { ...(isTiled ? { min, max } : { min: 1, max: 1 }), thumbnail };
}

function sideOf(config: Config, key: string): unknown {
  const value = config[key];
  if (!Array.isArray(value)) return value;
  if (value.length === 2 && value[0] === value[1]) return value[0];
  throw wrongConfig(`vision_config.${key}`, value, "a number, or two equal ones");
}

function refuse(key: string, value: unknown, supported: unknown): void {
  if (value === supported) return;
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${key} is ${describe(value)}`, {
    remedy: `supported is ${describe(supported)}: InternViT-300M, the tower of all InternVL3 and 3.5 models but the largest`,
  });
}
