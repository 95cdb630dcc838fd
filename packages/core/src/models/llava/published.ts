/** Published LLaVA 1.5 models. They share a tower, CLIP-L at 336 pixels; language model widths differ. */
import type { ArchitectureConfig } from "../model-family.js";
import { CLIP_L } from "../tower-config.js";

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
