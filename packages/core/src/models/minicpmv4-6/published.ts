/** The published MiniCPM-V 4.6 model. */
import type { ArchitectureConfig } from "../model-family.js";
import { SIGLIP_SO400M } from "../tower-config.js";

export const MINICPM_V4_6_MODELS = {
  "minicpm-v-4.6": {
    architectures: ["MiniCPMV4_6ForConditionalGeneration"],
    model_type: "minicpmv4_6",
    text_config: { hidden_size: 1024 },
    vision_config: {
      ...SIGLIP_SO400M,
      image_size: 980,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
