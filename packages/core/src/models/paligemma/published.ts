/** Published PaliGemma and PaliGemma 2 models: language models of four widths, each for images of three sizes. */
import type { ArchitectureConfig } from "../model-family.js";
import { SIGLIP_SO400M } from "../tower-config.js";

export const PALIGEMMA_MODELS = {
  "paligemma-3b-224": published(2048, 224),
  "paligemma-3b-448": published(2048, 448),
  "paligemma-3b-896": published(2048, 896),
  "paligemma2-3b-224": published(2304, 224),
  "paligemma2-3b-448": published(2304, 448),
  "paligemma2-3b-896": published(2304, 896),
  "paligemma2-10b-224": published(3584, 224),
  "paligemma2-10b-448": published(3584, 448),
  "paligemma2-10b-896": published(3584, 896),
  "paligemma2-28b-224": published(4608, 224),
  "paligemma2-28b-448": published(4608, 448),
  "paligemma2-28b-896": published(4608, 896),
} as const satisfies Record<string, ArchitectureConfig>;

function published(projection_dim: number, image_size: number): ArchitectureConfig {
  return {
    architectures: ["PaliGemmaForConditionalGeneration"],
    model_type: "paligemma",
    projection_dim,
    vision_config: {
      model_type: "siglip_vision_model",
      ...SIGLIP_SO400M,
      image_size,
    },
    preprocessor: { size: { height: image_size, width: image_size } },
  };
}
