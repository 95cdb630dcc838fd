/** Published models of LFM2-VL's architecture. */
import type { ArchitectureConfig } from "../model-family.js";

export const LFM2_VL_MODELS = {
  "lfm2.5-vl-450m": {
    architectures: ["Lfm2VlForConditionalGeneration"],
    model_type: "lfm2_vl",
    text_config: { hidden_size: 1024 },
    vision_config: {
      model_type: "siglip2_vision_model",
      num_hidden_layers: 12,
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      num_channels: 3,
      patch_size: 16,
      num_patches: 256,
      hidden_act: "gelu_pytorch_tanh",
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
