/** Reads the vision part of a Qwen2.5-VL or EXAONE 4.5 config.json. */
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

/** Names and defaults as in transformers' Qwen2_5_VLVisionConfig. */
const DEFAULTS = {
  depth: 32,
  hidden_size: 3584,
  hidden_act: "silu",
  intermediate_size: 3420,
  num_heads: 16,
  in_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  window_size: 112,
  out_hidden_size: 3584,
  fullatt_block_indexes: [7, 15, 23, 31],
};

export type Qwen2_5VLVisionConfig = ReturnType<typeof readQwen2_5VLVisionConfig>;

/** Default of transformers' Exaone4_5_VisionConfig. */
const GROUPED_DEFAULTS = { num_key_value_heads: 8 };

/**
 * @param grouped whether to read the number of key and value heads (grouped-query attention)
 * @throws VG_MODEL_INVALID naming the key, its value and the expected value.
 */
export function readQwen2_5VLVisionConfig(
  given: Readonly<Record<string, unknown>>,
  { grouped = false } = {},
) {
  const visionConfig = withNames(given, HEADS_NAMES);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const heads = vision.num_heads;
  const { num_key_value_heads } = grouped
    ? readVisionConfig(visionConfig, GROUPED_DEFAULTS)
    : { num_key_value_heads: heads };
  if (heads % num_key_value_heads !== 0)
    throw wrongConfig(
      "vision_config.num_key_value_heads",
      num_key_value_heads,
      `a divisor of num_heads ${heads}`,
    );
  const config = { ...vision, num_key_value_heads, rope_theta: readRopeTheta(visionConfig) };
  checkHeads(config.hidden_size, "hidden_size", config.num_heads, { headDim: visionConfig.head_dim });
  checkPatch(config.in_channels, config.patch_size);
  const { window_size, patch_size, spatial_merge_size } = config;
  if (window_size < patch_size * spatial_merge_size)
    throw wrongConfig(
      "vision_config.window_size",
      window_size,
      "at least the pixels along one side of a token",
    );
  checkLayers("fullatt_block_indexes", config.fullatt_block_indexes, Number.POSITIVE_INFINITY);
  return config;
}
