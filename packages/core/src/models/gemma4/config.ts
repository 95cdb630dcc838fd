/** Reads the vision part of a Gemma 4 config.json. */
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Gemma4VisionConfig. */
const DEFAULTS = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 16,
  num_attention_heads: 12,
  num_key_value_heads: 12,
  head_dim: 64,
  hidden_activation: "gelu_pytorch_tanh",
  patch_size: 16,
  pooling_kernel_size: 3,
  position_embedding_size: 10_240,
};

/** Defaults of transformers' Gemma4TextConfig. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 2304 };

/** transformers' default θ for this tower. */
const ROPE_THETA = 100;

export type Gemma4Config = ReturnType<typeof readGemma4Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readGemma4Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const text = readTextConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const { hidden_size: hidden, num_attention_heads: heads } = vision;
  checkHeads(hidden, "hidden_size", heads, { key: "num_attention_heads" });
  checkPatch(3, vision.patch_size);
  for (const [key, expected] of [
    ["head_dim", hidden / heads],
    ["num_key_value_heads", heads],
  ] as const) {
    if (vision[key] === expected) continue;
    throw wrongConfig(
      `vision_config.${key}`,
      vision[key],
      `${expected}: vitgraph supports no other value for this tower`,
    );
  }
  return {
    ...vision,
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-6),
    rope_theta: readRopeTheta(visionConfig, ROPE_THETA),
    use_clipped_linears: readBoolean(visionConfig, "use_clipped_linears", false),
    standardize: readBoolean(visionConfig, "standardize", false),
    text_hidden_size: text.hidden_size,
  };
}
