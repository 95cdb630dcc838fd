/** The published MiniMax-M3 model. */
import type { ArchitectureConfig } from "../model-family.js";

export const MINIMAX_M3_MODELS = {
  "minimax-m3": {
    architectures: ["MiniMaxM3SparseForConditionalGeneration"],
    model_type: "minimax_m3_vl",
    text_config: { hidden_size: 6144 },
    vision_config: {
      num_hidden_layers: 32,
      hidden_size: 1280,
      hidden_act: "gelu",
      intermediate_size: 5120,
      num_attention_heads: 16,
      num_channels: 3,
      patch_size: 14,
      spatial_merge_size: 2,
      temporal_patch_size: 2,
      vision_segment_max_frames: 4,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
