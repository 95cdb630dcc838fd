/** Published Qwen2.5-VL models, which share a tower, and EXAONE 4.5. */
import type { ArchitectureConfig } from "../model-family.js";

/** `out_hidden_size` is the language model's `hidden_size`. */
export const QWEN2_5_VL_MODELS = {
  "qwen2.5-vl-3b": published(2048),
  "qwen2.5-vl-7b": published(3584),
  "exaone-4.5-33b": {
    architectures: ["Exaone4_5_ForConditionalGeneration"],
    model_type: "exaone4_5",
    vision_config: {
      ...published(5120).vision_config,
      depth: 28,
      hidden_size: 2048,
      intermediate_size: 5120,
      num_heads: 32,
      num_key_value_heads: 8,
      fullatt_block_indexes: [6, 13, 20, 27],
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;

function published(out_hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["Qwen2_5_VLForConditionalGeneration"],
    model_type: "qwen2_5_vl",
    vision_config: {
      depth: 32,
      hidden_size: 1280,
      hidden_act: "silu",
      intermediate_size: 3420,
      num_heads: 16,
      in_channels: 3,
      patch_size: 14,
      spatial_merge_size: 2,
      temporal_patch_size: 2,
      window_size: 112,
      fullatt_block_indexes: [7, 15, 23, 31],
      out_hidden_size,
    },
  };
}
