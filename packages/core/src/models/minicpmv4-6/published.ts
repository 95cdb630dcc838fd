/** The published MiniCPM-V 4.6 model. */
import type { ArchitectureConfig } from "../model-family.js";

export const MINICPM_V4_6_MODELS = {
  "minicpm-v-4.6": {
    architectures: ["MiniCPMV4_6ForConditionalGeneration"],
    model_type: "minicpmv4_6",
    text_config: { hidden_size: 1024 },
    vision_config: {
      num_hidden_layers: 27,
      hidden_size: 1152,
      intermediate_size: 4304,
      num_attention_heads: 16,
      num_channels: 3,
      image_size: 980,
      patch_size: 14,
      hidden_act: "gelu_pytorch_tanh",
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
