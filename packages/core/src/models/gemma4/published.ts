/**
 * Published Gemma 4 models with a vision tower. There are two towers; the models of a tower differ in language model
 * width.
 */
import type { ArchitectureConfig } from "../model-family.js";

const SMALL = {
  num_hidden_layers: 16,
  hidden_size: 768,
  intermediate_size: 3072,
  num_attention_heads: 12,
  num_key_value_heads: 12,
  head_dim: 64,
  use_clipped_linears: true,
};

const LARGE = {
  num_hidden_layers: 27,
  hidden_size: 1152,
  intermediate_size: 4304,
  num_attention_heads: 16,
  num_key_value_heads: 16,
  head_dim: 72,
  standardize: true,
};

export const GEMMA4_MODELS = {
  "gemma-4-e2b": published(SMALL, 1536),
  "gemma-4-e4b": published(SMALL, 2560),
  "gemma-4-26b-a4b": published(LARGE, 2816),
  "gemma-4-31b": published(LARGE, 5376),
} as const satisfies Record<string, ArchitectureConfig>;

function published(tower: Readonly<Record<string, unknown>>, hidden_size: number): ArchitectureConfig {
  return {
    architectures: ["Gemma4ForConditionalGeneration"],
    model_type: "gemma4",
    text_config: { hidden_size },
    vision_config: {
      ...tower,
      hidden_activation: "gelu_pytorch_tanh",
      patch_size: 16,
      pooling_kernel_size: 3,
      position_embedding_size: 10_240,
    },
  };
}
