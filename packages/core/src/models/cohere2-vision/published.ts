/** Published Command A Vision, whose tower is SigLIP 2 with 512 pixels. */
import type { ArchitectureConfig } from "../model-family.js";

export const COHERE2_VISION_MODELS = {
  "command-a-vision": {
    architectures: ["Cohere2VisionForConditionalGeneration"],
    model_type: "cohere2_vision",
    text_config: { hidden_size: 12_288 },
    vision_config: {
      model_type: "siglip_vision_model",
      num_hidden_layers: 27,
      hidden_size: 1152,
      intermediate_size: 4304,
      num_attention_heads: 16,
      num_channels: 3,
      image_size: 512,
      patch_size: 16,
      hidden_act: "gelu_pytorch_tanh",
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
