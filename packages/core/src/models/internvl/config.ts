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
  readVisionConfig,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

type Config = Readonly<Record<string, unknown>>;

/** Names and defaults as in transformers' InternVLVisionConfig. */
const DEFAULTS = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  num_channels: 3,
  hidden_act: "gelu",
  norm_type: "layer_norm",
};

/** Sizes in pixels. transformers' layout has lists [height, width]. */
const SIDES = { image_size: 448, patch_size: 14 };

/** Keys at the top level of config.json. */
const PROJECTOR_DEFAULTS = { projector_hidden_act: "gelu" };
const TILE_DEFAULTS = { min_dynamic_patch: 1, max_dynamic_patch: 12 };

/** Defaults of transformers' Qwen2Config. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 4096 };

export type InternVLModelType = "internvl" | "internvl_chat" | "qianfan_ocr";

export type InternVLConfig = ReturnType<typeof readInternVLConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readInternVLConfig(checkpointConfig: Config, modelType: InternVLModelType) {
  const chat = modelType === "internvl_chat";
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const sides = readVisionConfig(
    { image_size: sideOf(visionConfig, "image_size"), patch_size: sideOf(visionConfig, "patch_size") },
    SIDES,
  );
  const textKey = chat ? "llm_config" : "text_config";
  const text = readVisionConfig(objectIn(checkpointConfig, textKey, textKey), TEXT_DEFAULTS);
  refuse("norm_type", vision.norm_type, "layer_norm");
  refuse(
    chat ? "qk_normalization" : "use_qk_norm",
    visionConfig[chat ? "qk_normalization" : "use_qk_norm"] ?? false,
    false,
  );
  refuse(
    chat ? "select_layer" : "vision_feature_layer",
    checkpointConfig[chat ? "select_layer" : "vision_feature_layer"] ?? -1,
    -1,
  );
  // Without mean pooling, transformers adds a norm.
  if (!chat) refuse("use_mean_pooling", visionConfig.use_mean_pooling ?? true, true);
  if (chat) refuse("ps_version", checkpointConfig.ps_version ?? "v2", "v2");
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    rope: false,
  });
  checkPatch(vision.num_channels, sides.patch_size);
  const side = sides.image_size / sides.patch_size;
  const merge = 1 / readPositiveNumber(checkpointConfig, "downsample_ratio", 0.5);
  if (!Number.isInteger(side)) throw wrongConfig("image_size", sides.image_size, "a multiple of patch_size");
  if (!Number.isInteger(merge) || side % merge !== 0)
    throw wrongConfig("downsample_ratio", 1 / merge, `one over a divisor of ${side} patches`);
  return {
    ...vision,
    ...sides,
    ...readVisionConfig(checkpointConfig, PROJECTOR_DEFAULTS),
    ...readVisionConfig(checkpointConfig, TILE_DEFAULTS),
    use_thumbnail: readBoolean(checkpointConfig, "use_thumbnail", true),
    attention_bias: readBoolean(visionConfig, chat ? "qkv_bias" : "attention_bias", modelType !== "internvl"),
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6),
    text_hidden_size: text.hidden_size,
    /** Patches along one side of a tile. */
    side,
    merge,
  };
}

function sideOf(config: Config, key: string): unknown {
  const value = config[key];
  if (!Array.isArray(value)) return value;
  if (value.length === 2 && value[0] === value[1]) return value[0];
  throw wrongConfig(key, value, "a number, or two equal ones");
}

function refuse(key: string, value: unknown, supported: unknown): void {
  if (value === supported) return;
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${key} is ${describe(value)}`, {
    remedy: `supported is ${describe(supported)}: InternViT-300M, the tower of all InternVL3 and 3.5 models but the largest`,
  });
}
