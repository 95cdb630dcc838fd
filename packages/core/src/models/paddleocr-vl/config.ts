/** Reads the vision part of a PaddleOCR-VL config.json. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readVisionConfig,
  textConfigOrTopLevel,
  visionConfigOf,
} from "../vision-config.js";

/** Names and defaults as in transformers' PaddleOCRVisionConfig. */
const DEFAULTS = {
  hidden_size: 1152,
  intermediate_size: 4304,
  num_hidden_layers: 27,
  num_attention_heads: 16,
  num_channels: 3,
  image_size: 384,
  patch_size: 14,
  hidden_act: "gelu_pytorch_tanh",
  spatial_merge_size: 2,
};

/** Defaults of transformers' PaddleOCRTextConfig. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 1024 };

export type PaddleOCRConfig = ReturnType<typeof readPaddleOCRConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readPaddleOCRConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  // The hub's config has the language model's keys at its top level.
  const text = textConfigOrTopLevel(checkpointConfig);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    headDim: visionConfig.head_dim,
  });
  checkPatch(vision.num_channels, vision.patch_size);
  return {
    ...vision,
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6),
    rope_theta: readRopeTheta(visionConfig),
    text_hidden_size: readTextConfig(text, TEXT_DEFAULTS).hidden_size,
    /** Cells along one side of the position table. */
    side: Math.floor(vision.image_size / vision.patch_size),
  };
}
