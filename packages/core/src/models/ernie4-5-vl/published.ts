/** Published ERNIE-4.5-VL models with known tower sizes. */
import type { ArchitectureConfig } from "../model-family.js";

export const ERNIE_MODELS = {
  "ernie-4.5-vl-28b-a3b": {
    architectures: ["Ernie4_5_VLMoeForConditionalGeneration"],
    model_type: "ernie4_5_vl_moe",
    text_config: { hidden_size: 2560 },
    vision_config: {
      depth: 32,
      hidden_size: 1280,
      intermediate_size: 5120,
      hidden_act: "quick_gelu",
      num_heads: 16,
      in_channels: 3,
      patch_size: 14,
      spatial_merge_size: 2,
      temporal_merge_size: 2,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
