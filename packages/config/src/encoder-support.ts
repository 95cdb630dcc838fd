/**
 * The encoders that vLLM compiles and captures (main, September 2026), and the smallest token budget that it infers for
 * them, by `model_type` of config.json. For other models vLLM does neither.
 */

export interface EncoderSupport {
  /** `compile_mm_encoder` has an effect. */
  readonly compile: boolean;
  /** `cudagraph_mm_encoder` has an effect. */
  readonly cudagraph: boolean;
  /** Output tokens of the smallest budget; absent if the model's config decides it. */
  readonly minTokenBudget?: number;
}

/** The Qwen-VL family's 64: a 224 × 224 image of 14-pixel patches, merged by four. */
const QWEN = { compile: true, cudagraph: true, minTokenBudget: 64 } as const;

const ENCODER_SUPPORT: ReadonlyMap<string, EncoderSupport> = new Map<string, EncoderSupport>([
  ["qwen2_vl", { ...QWEN, compile: false }],
  ["qwen2_5_vl", QWEN],
  ["qwen3_vl", QWEN],
  ["qwen3_vl_moe", QWEN],
  ["glm4v", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["glm4v_moe", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["glm46v", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["kimi_k25", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["kimi_vl", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["dots_ocr", QWEN],
  ["ernie4_5_vl_moe", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["ernie4_5_moe_vl", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["minimax_m3_vl", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  ["internvl_chat", { compile: true, cudagraph: true }],
  ["llama4", { compile: true, cudagraph: true }],
  ["lfm2_vl", { compile: false, cudagraph: true, minTokenBudget: 64 }],
  // 169 tokens: an image without tiles.
  ["step3p7", { compile: false, cudagraph: true, minTokenBudget: 169 }],
  ["step_robotics", { compile: false, cudagraph: true, minTokenBudget: 169 }],
  ["gemma3", { compile: false, cudagraph: true, minTokenBudget: 256 }],
  ["gemma4", { compile: false, cudagraph: true, minTokenBudget: 70 }],
]);

/** vLLM's support of a model's encoder; undefined if the model is not listed. */
export function encoderSupport(modelType: string): EncoderSupport | undefined {
  return ENCODER_SUPPORT.get(modelType);
}
