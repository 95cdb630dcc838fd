/** Published LLaVA 1.5 models. They share a tower, CLIP-L at 336 pixels; language model widths differ. */
import type { ArchitectureConfig } from "../model-family.js";

/** CLIP-L at 336 pixels. */
export const CLIP_L = {
  model_type: "clip_vision_model",
  num_hidden_layers: 24,
  hidden_size: 1024,
  intermediate_size: 4096,
  num_attention_heads: 16,
  num_channels: 3,
  image_size: 336,
  patch_size: 14,
  hidden_act: "quick_gelu",
} as const;

export const LLAVA_MODELS = {
  "llava-1.5-7b": published(4096),
  "llava-1.5-13b": published(5120),
} as const satisfies Record<string, ArchitectureConfig>;

function published(hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["LlavaForConditionalGeneration"],
    model_type: "llava",
    text_config: { hidden_size },
    vision_config: CLIP_L,
  };
}
