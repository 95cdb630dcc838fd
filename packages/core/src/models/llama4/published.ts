/** Published Llama 4 models. Scout and Maverick have the same tower. */
import type { ArchitectureConfig } from "../model-family.js";

export const LLAMA4_MODELS = {
  "llama-4-scout": {
    architectures: ["Llama4ForConditionalGeneration"],
    model_type: "llama4",
    text_config: { hidden_size: 5120 },
    vision_config: {
      num_hidden_layers: 34,
      hidden_size: 1408,
      intermediate_size: 5632,
      num_attention_heads: 16,
      num_channels: 3,
      image_size: 336,
      patch_size: 14,
      pixel_shuffle_ratio: 0.5,
      projector_input_dim: 4096,
      projector_output_dim: 4096,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
