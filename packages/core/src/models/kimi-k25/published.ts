/** The published Kimi models with this tower. */
import type { ArchitectureConfig } from "../model-family.js";

const KIMI: ArchitectureConfig = {
  architectures: ["KimiK25ForConditionalGeneration"],
  model_type: "kimi_k25",
  text_config: { hidden_size: 7168 },
  vision_config: {
    num_hidden_layers: 27,
    hidden_size: 1152,
    hidden_act: "gelu_pytorch_tanh",
    intermediate_size: 4304,
    num_attention_heads: 16,
    patch_size: 14,
    merge_kernel_size: [2, 2],
    pos_emb_height: 64,
    pos_emb_width: 64,
  },
};

export const KIMI_K25_MODELS = {
  "kimi-vl-a3b": {
    ...KIMI,
    architectures: ["KimiVLForConditionalGeneration"],
    model_type: "kimi_vl",
    text_config: { hidden_size: 2048 },
  },
  "kimi-k2.5": KIMI,
  "kimi-k2.6": KIMI,
} as const satisfies Record<string, ArchitectureConfig>;
