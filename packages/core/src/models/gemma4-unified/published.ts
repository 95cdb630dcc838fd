/** The published Gemma 4 model without a tower. */
import type { ArchitectureConfig } from "../model-family.js";

export const GEMMA4_UNIFIED_MODELS = {
  "gemma-4-12b": {
    architectures: ["Gemma4UnifiedForConditionalGeneration"],
    model_type: "gemma4_unified",
    text_config: { hidden_size: 3840 },
    vision_config: { patch_size: 16, pooling_kernel_size: 3, mm_embed_dim: 3840, mm_posemb_size: 1120 },
  },
} as const satisfies Record<string, ArchitectureConfig>;
