/** Published Qwen3-VL models, with two towers. Instruct and Thinking editions of a size have the same tower. */
import type { ArchitectureConfig } from "../model-family.js";

/** The tower of the two small models: 24 layers, 16 heads of 64. */
const SMALL_TOWER = {
  depth: 24,
  hidden_size: 1024,
  intermediate_size: 4096,
  deepstack_visual_indexes: [5, 11, 17],
};

/** The tower of the other models: 27 layers, 16 heads of 72. */
const LARGE_TOWER = {
  depth: 27,
  hidden_size: 1152,
  intermediate_size: 4304,
  deepstack_visual_indexes: [8, 16, 24],
};

/** Values common to both towers. */
const COMMON = {
  hidden_act: "gelu_pytorch_tanh",
  in_channels: 3,
  num_heads: 16,
  num_position_embeddings: 2304,
  patch_size: 16,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
};

/** `out_hidden_size` is the language model's `hidden_size`. */
export const QWEN3_VL_MODELS = {
  "qwen3-vl-2b": dense({ ...COMMON, ...SMALL_TOWER, out_hidden_size: 2048 }),
  "qwen3-vl-4b": dense({ ...COMMON, ...SMALL_TOWER, out_hidden_size: 2560 }),
  "qwen3-vl-8b": dense({ ...COMMON, ...LARGE_TOWER, out_hidden_size: 4096 }),
  "qwen3-vl-32b": dense({ ...COMMON, ...LARGE_TOWER, out_hidden_size: 5120 }),
  "qwen3-vl-30b-a3b": mixtureOfExperts({ ...COMMON, ...LARGE_TOWER, out_hidden_size: 2048 }),
  "qwen3-vl-235b-a22b": mixtureOfExperts({ ...COMMON, ...LARGE_TOWER, out_hidden_size: 4096 }),
} as const satisfies Record<string, ArchitectureConfig>;

function dense(vision_config: ArchitectureConfig["vision_config"]): ArchitectureConfig {
  return { architectures: ["Qwen3VLForConditionalGeneration"], model_type: "qwen3_vl", vision_config };
}

function mixtureOfExperts(vision_config: ArchitectureConfig["vision_config"]): ArchitectureConfig {
  return { architectures: ["Qwen3VLMoeForConditionalGeneration"], model_type: "qwen3_vl_moe", vision_config };
}
