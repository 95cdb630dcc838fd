/** Reads the vision part of a Llama 4 config.json. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Llama4VisionConfig. */
const DEFAULTS = {
  hidden_size: 768,
  intermediate_size: 5632,
  num_hidden_layers: 34,
  num_attention_heads: 16,
  num_channels: 3,
  image_size: 448,
  patch_size: 14,
  projector_input_dim: 4096,
  projector_output_dim: 4096,
};

/** Defaults of transformers' Llama4TextConfig. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 5120 };

export type Llama4Config = ReturnType<typeof readLlama4Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readLlama4Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const text = readTextConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, { key: "num_attention_heads" });
  checkPatch(vision.num_channels, vision.patch_size);
  const side = vision.image_size / vision.patch_size;
  const merge = 1 / readPositiveNumber(visionConfig, "pixel_shuffle_ratio", 0.5);
  if (!Number.isInteger(side))
    throw wrongConfig("vision_config.image_size", vision.image_size, "a multiple of patch_size");
  if (!Number.isInteger(merge) || side % merge !== 0)
    throw wrongConfig(
      "vision_config.pixel_shuffle_ratio",
      1 / merge,
      `one over a divisor of ${side} patches`,
    );
  if (vision.projector_input_dim !== vision.projector_output_dim)
    throw wrongConfig(
      "vision_config.projector_output_dim",
      vision.projector_output_dim,
      `projector_input_dim ${vision.projector_input_dim}: a square matrix stands between them`,
    );
  return {
    ...vision,
    rope_theta: readRopeTheta(visionConfig),
    text_hidden_size: text.hidden_size,
    /** Patches along one side of a tile. */
    side,
    merge,
  };
}
