/** The published dots.ocr models, which share a tower and the width of their language model. */
import type { ArchitectureConfig } from "../model-family.js";

const DOTS: ArchitectureConfig = {
  architectures: ["DotsOCRForCausalLM"],
  model_type: "dots_ocr",
  vision_config: {
    embed_dim: 1536,
    hidden_size: 1536,
    intermediate_size: 4224,
    num_hidden_layers: 42,
    num_attention_heads: 12,
    num_channels: 3,
    patch_size: 14,
    post_norm: true,
    rms_norm_eps: 1e-5,
    spatial_merge_size: 2,
    temporal_patch_size: 1,
    use_bias: false,
    is_causal: false,
  },
};

export const DOTS_OCR_MODELS = {
  "dots.ocr": DOTS,
  "dots.mocr": DOTS,
} as const satisfies Record<string, ArchitectureConfig>;
