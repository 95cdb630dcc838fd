/** Reads the parts of a Gemma 3 config.json that define the vision tower and its projector. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' SiglipVisionConfig. */
const DEFAULTS = {
  num_hidden_layers: 12,
  hidden_size: 768,
  hidden_act: "gelu_pytorch_tanh",
  intermediate_size: 3072,
  num_attention_heads: 12,
  num_channels: 3,
  image_size: 224,
  patch_size: 16,
};

/** Defaults as in transformers' Gemma3Config and Gemma3TextConfig. */
const OUTPUT_DEFAULTS = { mm_tokens_per_image: 256 };
const TEXT_DEFAULTS = { hidden_size: 2304 };

export type Gemma3Config = ReturnType<typeof readGemma3Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readGemma3Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const { mm_tokens_per_image } = readVisionConfig(checkpointConfig, OUTPUT_DEFAULTS);
  const text = readVisionConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const { hidden_size, num_attention_heads, image_size, patch_size } = vision;
  checkHeads(hidden_size, "hidden_size", num_attention_heads, { key: "num_attention_heads", rope: false });
  checkPatch(vision.num_channels, patch_size);
  if (image_size % patch_size !== 0)
    throw wrongConfig("image_size", image_size, `a multiple of patch_size ${patch_size}`);
  const side = image_size / patch_size;
  const merge = side / Math.sqrt(mm_tokens_per_image);
  if (!Number.isInteger(merge)) {
    throw wrongConfig(
      "image_size",
      image_size,
      `a size whose patches average to ${mm_tokens_per_image} tokens`,
    );
  }
  const layer_norm_eps = readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6);
  return { ...vision, layer_norm_eps, mm_tokens_per_image, text_hidden_size: text.hidden_size, side, merge };
}
