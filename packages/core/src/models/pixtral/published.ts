/** Published models with Pixtral's tower. */
import type { ArchitectureConfig } from "../model-family.js";

const TOWER = {
  model_type: "pixtral",
  num_hidden_layers: 24,
  hidden_size: 1024,
  intermediate_size: 4096,
  num_attention_heads: 16,
  num_channels: 3,
  hidden_act: "silu",
};

export const PIXTRAL_MODELS = {
  "pixtral-12b": {
    architectures: ["LlavaForConditionalGeneration"],
    model_type: "llava",
    vision_feature_layer: -1,
    vision_feature_select_strategy: "full",
    text_config: { hidden_size: 5120 },
    vision_config: { ...TOWER, patch_size: 16 },
  },
  "mistral-small-3.1-24b": {
    architectures: ["Mistral3ForConditionalGeneration"],
    model_type: "mistral3",
    text_config: { hidden_size: 5120 },
    vision_config: { ...TOWER, patch_size: 14 },
  },
  "lighton-ocr-1b": {
    architectures: ["LightOnOcrForConditionalGeneration"],
    model_type: "lighton_ocr",
    text_config: { hidden_size: 1024 },
    vision_config: { ...TOWER, patch_size: 14 },
  },
} as const satisfies Record<string, ArchitectureConfig>;
