/** The published PaddleOCR-VL model: 0.9 B parameters, with a language model of 0.3 B. */
import type { ArchitectureConfig } from "../model-family.js";

export const PADDLEOCR_VL_MODELS = {
  "paddleocr-vl-0.9b": {
    architectures: ["PaddleOCRVLForConditionalGeneration"],
    model_type: "paddleocr_vl",
    text_config: { hidden_size: 1024 },
    vision_config: {
      num_hidden_layers: 27,
      hidden_size: 1152,
      hidden_act: "gelu_pytorch_tanh",
      intermediate_size: 4304,
      num_attention_heads: 16,
      num_channels: 3,
      image_size: 384,
      patch_size: 14,
      spatial_merge_size: 2,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
