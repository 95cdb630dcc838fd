/** Reads the vision part of a Step-3.7-Flash or Step3-VL-10B config.json, with the key names of transformers or of the hub. */
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readVisionConfig,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  withNames,
  wrongConfig,
} from "../vision-config.js";

/** Patches along one side of a token: each of the two convolutions halves the grid. */
export const MERGE = 4;

/** Names and defaults as in transformers' Step3p7VisionConfig. */
const DEFAULTS = {
  hidden_size: 1536,
  num_hidden_layers: 47,
  num_attention_heads: 16,
  num_channels: 3,
  image_size: 728,
  patch_size: 14,
  hidden_act: "quick_gelu",
};

/** The hub's names of these keys. */
const HUB_NAMES = {
  width: "hidden_size",
  layers: "num_hidden_layers",
  heads: "num_attention_heads",
};

/** Supported values of the hub's keys for variants of the tower. No published model has others. */
const VARIANT = {
  use_cls_token: false,
  use_ln_pre: true,
  use_ln_post: false,
  use_abs_posemb: true,
  use_rope2d: true,
};

/** Defaults of transformers' Step3p7TextConfig. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 4096 };

export type StepConfig = ReturnType<typeof readStepConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readStepConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = withNames(visionConfigOf(checkpointConfig), HUB_NAMES);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  for (const [key, supported] of Object.entries(VARIANT))
    refuseOther(`vision_config.${key}`, visionConfig[key], supported);
  const text = readTextConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    headDim: visionConfig.head_dim,
  });
  checkPatch(vision.num_channels, vision.patch_size);
  const side = vision.image_size / vision.patch_size;
  if (side % MERGE !== 0)
    throw wrongConfig(
      "vision_config.image_size",
      vision.image_size,
      `a multiple of ${MERGE * vision.patch_size}`,
    );
  // As in transformers, a given intermediate_size has no effect.
  const mlpRatio = readPositiveNumber(visionConfig, "mlp_ratio", 8960 / 1536);
  const mlp = { intermediate_size: Math.trunc(vision.hidden_size * mlpRatio) };
  return {
    ...vision,
    ...readVisionConfig(mlp, { intermediate_size: 8960 }),
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-5),
    rope_theta: readRopeTheta(visionConfig),
    projector_bias: readBoolean(checkpointConfig, "projector_bias", false, ""),
    text_hidden_size: text.hidden_size,
    /** Cells along one side of the position table. */
    side,
  };
}
