/** The published HunyuanOCR model: 1 B parameters. */
import type { ArchitectureConfig } from "../model-family.js";

export const HUNYUAN_VL_MODELS = {
  "hunyuan-ocr-1b": {
    architectures: ["HunYuanVLForConditionalGeneration"],
    model_type: "hunyuan_vl",
    vision_config: {
      num_hidden_layers: 27,
      hidden_size: 1152,
      hidden_act: "gelu",
      intermediate_size: 4304,
      num_attention_heads: 16,
      num_channels: 3,
      patch_size: 16,
      spatial_merge_size: 2,
      max_image_size: 2048,
      out_hidden_size: 1024,
    },
  },
} as const satisfies Record<string, ArchitectureConfig>;
