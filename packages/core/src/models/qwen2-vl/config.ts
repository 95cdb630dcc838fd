/** Reads the vision part of a Qwen2-VL config.json. The tower's width is `embed_dim`; `hidden_size` is the language model's. */
import {
  checkHeads,
  checkPatch,
  HEADS_NAMES,
  readRopeTheta,
  readVisionConfig,
  withNames,
} from "../vision-config.js";

/** Names and defaults as in transformers' Qwen2VLVisionConfig. */
const DEFAULTS = {
  depth: 32,
  embed_dim: 1280,
  hidden_size: 3584,
  hidden_act: "quick_gelu",
  mlp_ratio: 4,
  num_heads: 16,
  in_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
};

export type Qwen2VLVisionConfig = ReturnType<typeof readQwen2VLVisionConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readQwen2VLVisionConfig(given: Readonly<Record<string, unknown>>) {
  const visionConfig = withNames(given, HEADS_NAMES);
  const config = { ...readVisionConfig(visionConfig, DEFAULTS), rope_theta: readRopeTheta(visionConfig) };
  checkHeads(config.embed_dim, "embed_dim", config.num_heads, { headDim: visionConfig.head_dim });
  checkPatch(config.in_channels, config.patch_size);
  return config;
}
