/** Reads the vision part of a Qwen3-VL config.json. */
import {
  checkHeads,
  checkLayers,
  checkPatch,
  HEADS_NAMES,
  readRopeTheta,
  readVisionConfig,
  withNames,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Qwen3VLVisionConfig. */
const DEFAULTS = {
  depth: 27,
  hidden_size: 1152,
  hidden_act: "gelu_pytorch_tanh",
  intermediate_size: 4304,
  num_heads: 16,
  in_channels: 3,
  patch_size: 16,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  out_hidden_size: 3584,
  num_position_embeddings: 2304,
  deepstack_visual_indexes: [8, 16, 24],
};

export type Qwen3VLVisionConfig = ReturnType<typeof readQwen3VLVisionConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readQwen3VLVisionConfig(given: Readonly<Record<string, unknown>>) {
  const visionConfig = withNames(given, HEADS_NAMES);
  const config = {
    ...readVisionConfig(visionConfig, DEFAULTS),
    rope_theta: readRopeTheta(visionConfig),
  };
  checkHeads(config.hidden_size, "hidden_size", config.num_heads, { headDim: visionConfig.head_dim });
  checkPatch(config.in_channels, config.patch_size);
  const { num_position_embeddings, deepstack_visual_indexes, depth } = config;
  if (!Number.isInteger(Math.sqrt(num_position_embeddings)))
    throw wrongConfig(
      "vision_config.num_position_embeddings",
      num_position_embeddings,
      "the square of a whole number",
    );
  checkLayers("deepstack_visual_indexes", deepstack_visual_indexes, depth);
  return config;
}
