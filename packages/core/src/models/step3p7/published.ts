/** Published models with this tower. */
import type { ArchitectureConfig } from "../model-family.js";

const TOWER = {
  model_type: "perception_encoder",
  image_size: 728,
  patch_size: 14,
  width: 1536,
  layers: 47,
  heads: 16,
  hidden_act: "quick_gelu",
} as const;

export const STEP_MODELS = {
  "step-3.7-flash": {
    architectures: ["Step3p7ForConditionalGeneration"],
    model_type: "step3p7",
    text_config: { hidden_size: 4096 },
    vision_config: TOWER,
  },
  "step3-vl-10b": {
    architectures: ["StepVLForConditionalGeneration"],
    model_type: "step_robotics",
    text_config: { hidden_size: 4096 },
    vision_config: TOWER,
  },
} as const satisfies Record<string, ArchitectureConfig>;
