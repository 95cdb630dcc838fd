/** Published Qwen2-VL models. They share a tower; language model widths differ. */
import type { ArchitectureConfig } from "../model-family.js";

/** `hidden_size` is that of the language model. */
export const QWEN2_VL_MODELS = {
  "qwen2-vl-2b": published(1536),
  "qwen2-vl-7b": published(3584),
  "qwen2-vl-72b": published(8192),
} as const satisfies Record<string, ArchitectureConfig>;

function published(hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["Qwen2VLForConditionalGeneration"],
    model_type: "qwen2_vl",
    vision_config: {
      depth: 32,
      embed_dim: 1280,
      hidden_size,
      hidden_act: "quick_gelu",
      mlp_ratio: 4,
      num_heads: 16,
      in_channels: 3,
      patch_size: 14,
      spatial_merge_size: 2,
      temporal_patch_size: 2,
    },
  };
}
