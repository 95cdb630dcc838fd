/** Published Gemma 3 models with vision. They share a tower; the language models have three widths. */
import type { ArchitectureConfig } from "../model-family.js";
import { SIGLIP_SO400M } from "../tower-config.js";

export const GEMMA3_MODELS = {
  "gemma-3-4b": published(2560),
  "gemma-3-12b": published(3840),
  "gemma-3-27b": published(5376),
} as const satisfies Record<string, ArchitectureConfig>;

function published(hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["Gemma3ForConditionalGeneration"],
    model_type: "gemma3",
    mm_tokens_per_image: 256,
    text_config: { hidden_size },
    vision_config: {
      ...SIGLIP_SO400M,
      image_size: 896,
    },
  };
}
