/** Reads the vision part of the config.json of Idefics3, SmolVLM and Granite-Docling, which share an architecture. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readTextConfigOf,
  readTopLevel,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Idefics3VisionConfig. */
const DEFAULTS = {
  hidden_size: 1152,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 16,
  num_channels: 3,
  image_size: 224,
  patch_size: 32,
  hidden_act: "gelu_pytorch_tanh",
};

/** Keys at the top level of config.json. `scale_factor` is the number of patches along one side of a token. */
const OUTPUT_DEFAULTS = { scale_factor: 2 };

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { llama: { hidden_size: 4096 }, mistral: { hidden_size: 4096 } };

export type Idefics3Config = ReturnType<typeof readIdefics3Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readIdefics3Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const { scale_factor } = readTopLevel(checkpointConfig, OUTPUT_DEFAULTS);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    rope: false,
  });
  checkPatch(vision.num_channels, vision.patch_size);
  const side = vision.image_size / vision.patch_size;
  if (!Number.isInteger(side / scale_factor))
    throw wrongConfig(
      "vision_config.image_size",
      vision.image_size,
      `a multiple of ${vision.patch_size * scale_factor}`,
    );
  return {
    ...vision,
    scale_factor,
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6),
    text_hidden_size: text.hidden_size,
    /** Patches along one side of a tile. */
    side,
  };
}
