/**
 * The model families that llama.cpp runs here: their image and video placeholders, and the GGUF form of their language
 * models, as llama.cpp's convert_hf_to_gguf.py writes it. No other file of this package names a model.
 */
import { describe, listed, VitgraphError } from "@vitgraph/errors";
import { f32, u32 } from "./gguf/gguf-header.js";
import {
  attentionMatrices,
  deepstack,
  expertCount,
  experts,
  feedForward,
  feedForwardMatrices,
  fullAttentionInterval,
  type GgufFamily,
  gatedAttention,
  headLengths,
  headNorms,
  headsOf,
  inLayer,
  layerCount,
  linearAttention,
  linearAttentionSizes,
  multimodalRope,
  norms,
  PLUS_ONE,
  slidingRope,
  type TensorRule,
} from "./gguf/language-model.js";
import type { TextConfig } from "./gguf/text-config.js";

export interface PromptFamily {
  /** The control token that the template writes for an image, and the text and tokens around the image's rows. */
  readonly image: Placeholder;
  readonly video?: Placeholder & {
    /**
     * `timestamps`: each temporal patch is written like an image, after its time in seconds. `grid`: one block with
     * positions along time, `seconds` between temporal patches scaled by the config's tokens_per_second.
     */
    readonly layout: "timestamps" | "grid" | "grid in seconds";
  };
  /** True if rows have positions by time, row and column; otherwise they have consecutive positions. */
  readonly mrope: boolean;
  /** True if rows of an image attend to each other both ways. */
  readonly bidirectional: boolean;
}

interface Placeholder {
  readonly token: string;
  readonly before: readonly PromptText[];
  readonly after: readonly PromptText[];
}

/** Text, or a control token by its name. */
export type PromptText = { readonly text: string } | { readonly control: string };

// ---- prompts

const qwenPrompt = (layout: "timestamps" | "grid" | "grid in seconds"): PromptFamily => ({
  image: { token: "<|image_pad|>", before: [], after: [] },
  video: { token: "<|video_pad|>", before: [], after: [], layout },
  mrope: true,
  bidirectional: false,
});

const GEMMA3_PROMPT: PromptFamily = {
  image: {
    token: "<start_of_image>",
    before: [{ text: "\n\n" }, { control: "<start_of_image>" }],
    after: [{ control: "<end_of_image>" }, { text: "\n\n" }],
  },
  mrope: false,
  bidirectional: true,
};

// ---- language models

/**
 * llama.cpp's names of pre-tokenizers, by their regular expressions. llama.cpp's converter recognises a pre-tokenizer by its
 * tokens for a test text, which needs the whole vocabulary. The tokenizers of these models normalise text to NFC first;
 * llama.cpp does not.
 */
export const PRE_TOKENIZERS: Readonly<Record<string, string>> = {
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+":
    "qwen2",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+":
    "qwen35",
};

const QWEN_DEFAULTS = { hidden_act: "silu", rms_norm_eps: 1e-6, tie_word_embeddings: false };
const QWEN3_DEFAULTS = { ...QWEN_DEFAULTS, head_dim: 128 };
const GEMMA3_DEFAULTS = {
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
  vocab_size: 262_208,
  max_position_embeddings: 131_072,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
  rope_theta: 1_000_000,
  rope_local_base_freq: 10_000,
};

const QWEN_NORMS = { input_layernorm: "attn_norm", post_attention_layernorm: "ffn_norm" };
const QWEN35_NORMS = { input_layernorm: "attn_norm", post_attention_layernorm: "post_attention_norm" };
const GEMMA3_NORMS = {
  input_layernorm: "attn_norm",
  post_attention_layernorm: "post_attention_norm",
  pre_feedforward_layernorm: "ffn_norm",
  post_feedforward_layernorm: "post_ffw_norm",
};

const QWEN2_VL: GgufFamily = {
  architecture: "qwen2vl",
  defaults: QWEN_DEFAULTS,
  tokenizer: "bpe",
  *metadata(config) {
    config.require("hidden_act", ["silu"]);
    config.require("use_sliding_window", [false]);
    // llama.cpp 0.5.0 takes 0 whatever the file says.
    config.require("rms_norm_eps", [1e-6, 1e-5]);
    yield* feedForward(config);
    yield* multimodalRope(config, headsOf(config).dim);
  },
  layer: (config, index) =>
    inLayer(index, [
      ...attentionMatrices(config, headsOf(config), true),
      ...norms(config, QWEN_NORMS),
      ...feedForwardMatrices(config),
    ]),
};

const QWEN3_VL: GgufFamily = {
  architecture: "qwen3vl",
  defaults: QWEN3_DEFAULTS,
  tokenizer: "bpe",
  *metadata(config) {
    yield* feedForward(config);
    yield* headLengths(config);
    yield* multimodalRope(config, headsOf(config).dim);
    yield* deepstack(config);
  },
  layer: (config, index) => inLayer(index, [...qwen3Attention(config), ...feedForwardMatrices(config)]),
};

const QWEN3_VL_MOE: GgufFamily = {
  architecture: "qwen3vlmoe",
  defaults: QWEN3_DEFAULTS,
  tokenizer: "bpe",
  *metadata(config) {
    config.require("norm_topk_prob", [true]);
    config.require("decoder_sparse_step", [1]);
    config.require("mlp_only_layers", [[]]);
    yield* feedForward(config);
    yield* headLengths(config);
    yield* multimodalRope(config, headsOf(config).dim);
    yield* deepstack(config);
    yield ["expert_count", u32(expertCount(config))];
    yield ["expert_used_count", u32(config.count("num_experts_per_tok"))];
    yield ["expert_feed_forward_length", u32(config.count("moe_intermediate_size"))];
  },
  layer: (config, index) => inLayer(index, [...qwen3Attention(config), ...experts(config)]),
};

const QWEN3_5: GgufFamily = {
  architecture: "qwen35",
  defaults: {
    ...QWEN_DEFAULTS,
    head_dim: 256,
    partial_rotary_factor: 0.25,
    linear_conv_kernel_dim: 4,
    full_attention_interval: 4,
  },
  tokenizer: "bpe",
  *metadata(config) {
    config.require("attn_output_gate", [true]);
    const inRope = config.object("rope_parameters");
    const owner = inRope?.value("partial_rotary_factor") === undefined ? config : inRope;
    const rotary = owner.number("partial_rotary_factor");
    yield* feedForward(config);
    yield* headLengths(config);
    const rotated = Math.floor(config.count("head_dim") * rotary);
    yield* multimodalRope(config, rotated, [11, 11, 10]);
    yield ["rope.dimension_count", u32(rotated)];
    const linear = linearAttentionSizes(config);
    yield ["ssm.conv_kernel", u32(linear.kernel)];
    yield ["ssm.state_size", u32(linear.keyDim)];
    yield ["ssm.group_count", u32(linear.keyHeads)];
    yield ["ssm.time_step_rank", u32(linear.valueHeads)];
    yield ["ssm.inner_size", u32(linear.valueDim * linear.valueHeads)];
    yield ["full_attention_interval", u32(fullAttentionInterval(config))];
  },
  layer(config, index) {
    const isFull = (index + 1) % fullAttentionInterval(config) === 0;
    const attention = isFull ? gatedAttention(config) : linearAttention(config);
    return inLayer(index, [
      ...attention,
      ...norms(config, QWEN35_NORMS, PLUS_ONE),
      ...feedForwardMatrices(config),
    ]);
  },
  norm: PLUS_ONE,
};

const GEMMA3: GgufFamily = {
  architecture: "gemma3",
  defaults: GEMMA3_DEFAULTS,
  tokenizer: "sentencepiece",
  *metadata(config) {
    checkGemma3(config);
    yield* feedForward(config);
    yield* headLengths(config);
    yield* slidingRope(config);
    yield ["attention.sliding_window", u32(config.count("sliding_window"))];
    if (config.value("final_logit_softcapping") !== undefined)
      yield ["final_logit_softcapping", f32(config.number("final_logit_softcapping"))];
  },
  layer: (config, index) =>
    inLayer(index, [
      ...attentionMatrices(config, headsOf(config), false),
      ...norms(config, GEMMA3_NORMS, PLUS_ONE),
      ...headNorms(config.count("head_dim"), PLUS_ONE),
      ...feedForwardMatrices(config),
    ]),
  norm: PLUS_ONE,
};

function qwen3Attention(config: TextConfig): TensorRule[] {
  config.require("attention_bias", [false]);
  config.require("hidden_act", ["silu"]);
  const heads = headsOf(config);
  return [...attentionMatrices(config, heads, false), ...norms(config, QWEN_NORMS), ...headNorms(heads.dim)];
}

/** llama.cpp assumes five sliding layers and then a full one, and computes the attention scale from the sizes. */
function checkGemma3(config: TextConfig): void {
  const layers = layerCount(config);
  const pattern = Array.from({ length: layers }, (_, i) =>
    (i + 1) % 6 === 0 ? "full_attention" : "sliding_attention",
  );
  config.require("layer_types", [pattern]);
  config.require("sliding_window_pattern", [6]);
  config.require("use_bidirectional_attention", [false]);
  config.require("attention_bias", [false]);
  config.require("attn_logit_softcapping", []);
  config.require("hidden_activation", ["gelu_pytorch_tanh"]);
  // The model of 62 layers, 27B, divides by hidden size / heads.
  const { queries, dim } = headsOf(config);
  config.require("query_pre_attn_scalar", [layers === 62 ? config.count("hidden_size") / queries : dim]);
}

/** Families by transformers' `model_type`. Without `gguf`, the converter does not support the language model. */
const FAMILIES: Readonly<Record<string, { readonly prompt: PromptFamily; readonly gguf?: GgufFamily }>> = {
  qwen2_vl: { prompt: qwenPrompt("grid"), gguf: QWEN2_VL },
  qwen2_5_vl: { prompt: qwenPrompt("grid in seconds"), gguf: QWEN2_VL },
  qwen3_vl: { prompt: qwenPrompt("timestamps"), gguf: QWEN3_VL },
  qwen3_vl_moe: { prompt: qwenPrompt("timestamps"), gguf: QWEN3_VL_MOE },
  qwen3_5: { prompt: qwenPrompt("timestamps"), gguf: QWEN3_5 },
  qwen3_5_moe: { prompt: qwenPrompt("timestamps") },
  gemma3: { prompt: GEMMA3_PROMPT, gguf: GEMMA3 },
};

/** @throws VG_MODEL_UNSUPPORTED */
export function promptFamily(modelType: unknown): PromptFamily {
  const prompt = rowOf(modelType)?.prompt;
  if (prompt !== undefined) return prompt;
  throw new VitgraphError(
    "VG_MODEL_UNSUPPORTED",
    `model_type ${describe(modelType)} has no chat with llama.cpp here`,
    { remedy: `supported: ${Object.keys(FAMILIES).join(", ")}` },
  );
}

/** @throws VG_MODEL_UNSUPPORTED */
export function ggufFamily(
  directory: string,
  { model_type: type }: Readonly<Record<string, unknown>>,
): GgufFamily {
  const gguf = rowOf(type)?.gguf;
  if (gguf !== undefined) return gguf;
  const known = Object.keys(FAMILIES).filter((name) => FAMILIES[name]?.gguf !== undefined);
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `${directory} has model_type ${describe(type)}`, {
    remedy: `the converter knows ${listed(known, 10, String)}; llama.cpp's convert_hf_to_gguf.py knows more`,
    details: { directory, type },
  });
}

const rowOf = (modelType: unknown) =>
  typeof modelType === "string" && Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined;
