/** Published GLM models with this tower or its variants. */
import type { ArchitectureConfig } from "../model-family.js";

const VISION = {
  depth: 24,
  hidden_size: 1536,
  hidden_act: "silu",
  attention_bias: false,
  num_heads: 12,
  in_channels: 3,
  image_size: 336,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  out_hidden_size: 4096,
};

export const GLM4V_MODELS = {
  "glm-4.1v-9b": {
    architectures: ["Glm4vForConditionalGeneration"],
    model_type: "glm4v",
    vision_config: { ...VISION, intermediate_size: 13_696 },
  },
  "glm-ocr": {
    architectures: ["GlmOcrForConditionalGeneration"],
    model_type: "glm_ocr",
    vision_config: {
      ...VISION,
      hidden_size: 1024,
      attention_bias: true,
      num_heads: 16,
      out_hidden_size: 1536,
      intermediate_size: 4096,
    },
  },
  "glm-5.3-flash": {
    architectures: ["Glm5NextForConditionalGeneration"],
    model_type: "glm5_next",
    vision_config: {
      ...VISION,
      hidden_size: 1024,
      attention_bias: true,
      num_heads: 16,
      intermediate_size: 4096,
      projection_intermediate_size: 10_240,
      swiglu_limit: 10,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
