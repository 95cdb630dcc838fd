/** Published LLaVA-OneVision models. They share a tower, SigLIP so400m at 384 pixels without its last layer. */
import type { ArchitectureConfig } from "../model-family.js";
import { SIGLIP_SO400M } from "../tower-config.js";

export const LLAVA_ONEVISION_MODELS = {
  "llava-onevision-0.5b": published(896),
  "llava-onevision-7b": published(3584),
} as const satisfies Record<string, ArchitectureConfig>;

function published(hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["LlavaOnevisionForConditionalGeneration"],
    model_type: "llava_onevision",
    text_config: { hidden_size },
    vision_config: {
      model_type: "siglip_vision_model",
      ...SIGLIP_SO400M,
      num_hidden_layers: 26,
      image_size: 384,
    },
  };
}
