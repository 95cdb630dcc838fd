/** Published InternVL models. They share the tower InternViT-300M; language model widths differ. */
import type { ArchitectureConfig } from "../model-family.js";

export const INTERNVL_MODELS = {
  "internvl3-1b": published(896),
  "internvl3-2b": published(1536),
  "internvl3-8b": published(3584),
  "internvl3.5-8b": published(4096),
} as const satisfies Record<string, ArchitectureConfig>;

function published(hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["InternVLForConditionalGeneration"],
    model_type: "internvl",
    text_config: { hidden_size },
    vision_config: {
      num_hidden_layers: 24,
      hidden_size: 1024,
      hidden_act: "gelu",
      intermediate_size: 4096,
      num_attention_heads: 16,
      attention_bias: true,
      num_channels: 3,
      image_size: [448, 448],
      patch_size: [14, 14],
    },
  };
}
