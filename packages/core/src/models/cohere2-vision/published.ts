/** Published Command A Vision, whose tower is SigLIP 2 with 512 pixels. */
import type { ArchitectureConfig } from "../model-family.js";
import { SIGLIP_SO400M } from "../tower-config.js";

export const COHERE2_VISION_MODELS = {
  "command-a-vision": {
    architectures: ["Cohere2VisionForConditionalGeneration"],
    model_type: "cohere2_vision",
    text_config: { hidden_size: 12_288 },
    vision_config: {
      model_type: "siglip_vision_model",
      ...SIGLIP_SO400M,
      image_size: 512,
      patch_size: 16,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
