/** The published Muse-Glimmer model. */
import type { ArchitectureConfig } from "../model-family.js";

export const MUSE_GLIMMER_MODELS = {
  "muse-glimmer-30b": {
    architectures: ["MuseGlimmerForConditionalGeneration"],
    model_type: "muse_glimmer",
    text_config: { hidden_size: 6656 },
    vision_config: {
      num_hidden_layers: 50,
      hidden_size: 1536,
      hidden_act: "gelu",
      intermediate_size: 8960,
      num_attention_heads: 16,
      patch_size: 14,
      patch_temporal: 2,
      merge_size: 2,
      pos_emb_height: 32,
      pos_emb_width: 32,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
