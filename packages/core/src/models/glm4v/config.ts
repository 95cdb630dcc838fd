/** Reads the vision part of a GLM-4.1V, 4.5V or 4.6V config.json. */
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readPositiveNumber,
  readRopeTheta,
  readVisionConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Glm4vVisionConfig. */
const DEFAULTS = {
  depth: 24,
  hidden_size: 1536,
  hidden_act: "silu",
  num_heads: 12,
  in_channels: 3,
  image_size: 336,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  out_hidden_size: 4096,
  intermediate_size: 13_696,
};

export type Glm4vVisionConfig = ReturnType<typeof readGlm4vVisionConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and what was expected. */
export function readGlm4vVisionConfig(visionConfig: Readonly<Record<string, unknown>>) {
  const config = readVisionConfig(visionConfig, DEFAULTS);
  checkHeads(config.hidden_size, "hidden_size", config.num_heads);
  checkPatch(config.in_channels, config.patch_size);
  return {
    ...config,
    attention_bias: readBoolean(visionConfig, "attention_bias", false),
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-5),
    rope_theta: readRopeTheta(visionConfig),
    /** Cells along one side of the table of positions. */
    side: Math.floor(config.image_size / config.patch_size),
  };
}
