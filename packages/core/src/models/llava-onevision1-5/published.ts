/** Published LLaVA-OneVision-1.5 models. They share a tower; language model widths differ. */
import type { ArchitectureConfig } from "../model-family.js";

/** `text_hidden_size` is the language model's `hidden_size`. */
export const LLAVA_ONEVISION1_5_MODELS = {
  "llava-onevision-1.5-4b": published(2560),
  "llava-onevision-1.5-8b": published(4096),
} as const satisfies Record<string, ArchitectureConfig>;

function published(text_hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["LLaVAOneVision1_5_ForConditionalGeneration"],
    model_type: "llavaonevision1_5",
    vision_config: {
      depth: 24,
      hidden_size: 1024,
      hidden_act: "gelu",
      intermediate_size: 4096,
      num_heads: 16,
      in_channels: 3,
      patch_size: 14,
      spatial_merge_size: 2,
      temporal_patch_size: 1,
      layer_norm_eps: 1e-5,
      text_hidden_size,
    },
  };
}
