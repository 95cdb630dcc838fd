/** Published models of Idefics3's architecture. */
import type { ArchitectureConfig } from "../model-family.js";
import { SIGLIP_SO400M } from "../tower-config.js";

const SO400M = { ...SIGLIP_SO400M, image_size: 364 };

const BASE = {
  num_hidden_layers: 12,
  hidden_size: 768,
  intermediate_size: 3072,
  num_attention_heads: 12,
  image_size: 512,
  patch_size: 16,
};

/** Up to 4 × 4 tiles of 512 pixels. The class's own are of 364, as Idefics3's. */
const TILES_OF_512 = {
  preprocessor: { size: { longest_edge: 2048 }, max_image_size: { longest_edge: 512 } },
};

export const IDEFICS3_MODELS = {
  "idefics3-8b": published("Idefics3ForConditionalGeneration", "idefics3", SO400M, 2, 4096),
  "granite-docling-258m": {
    ...published("Idefics3ForConditionalGeneration", "idefics3", BASE, 4, 576),
    ...TILES_OF_512,
  },
  "smolvlm2-256m": {
    ...published("SmolVLMForConditionalGeneration", "smolvlm", BASE, 4, 576),
    ...TILES_OF_512,
  },
  "smolvlm2-500m": {
    ...published("SmolVLMForConditionalGeneration", "smolvlm", BASE, 4, 960),
    ...TILES_OF_512,
  },
} as const satisfies Record<string, ArchitectureConfig>;

function published(
  architecture: string,
  model_type: string,
  tower: Readonly<Record<string, unknown>>,
  scale_factor: number,
  hidden_size: number,
): ArchitectureConfig {
  return {
    architectures: [architecture],
    model_type,
    scale_factor,
    text_config: { hidden_size },
    vision_config: { ...tower, num_channels: 3, hidden_act: "gelu_pytorch_tanh" },
  };
}
