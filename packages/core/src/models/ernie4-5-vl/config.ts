/** Reads the vision part of an ERNIE-4.5-VL config.json, in the layout of transformers or of the hub. */
import {
  checkHeads,
  checkPatch,
  HEADS_NAMES,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readVisionConfig,
  refuseOther,
  textConfigOrTopLevel,
  visionConfigOf,
  withNames,
} from "../vision-config.js";

/** Names and defaults as in transformers' Ernie4_5_VLMoeVisionConfig. */
const DEFAULTS = {
  depth: 32,
  hidden_size: 1280,
  hidden_act: "quick_gelu",
  num_heads: 16,
  in_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_merge_size: 2,
};

/** Default of the language model's `hidden_size`, the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 2560 };

/** `model_type` of config.json on the hub. */
const HUB_TYPE = "ernie4_5_moe_vl";

export type ErnieConfig = ReturnType<typeof readErnieConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readErnieConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = withNames(visionConfigOf(checkpointConfig), HEADS_NAMES);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  // The hub's config has the language model's keys at its top level, and mlp_ratio instead of intermediate_size.
  const text = textConfigOrTopLevel(checkpointConfig);
  refuseOther("use_temporal_conv", checkpointConfig.use_temporal_conv, true);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_heads, { headDim: visionConfig.head_dim });
  checkPatch(vision.in_channels, vision.patch_size);
  const { mlp_ratio } = readVisionConfig(visionConfig, { mlp_ratio: 4 });
  const absent = checkpointConfig.model_type === HUB_TYPE ? vision.hidden_size * mlp_ratio : 5120;
  return {
    ...vision,
    ...readVisionConfig(visionConfig, { intermediate_size: absent }),
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-6),
    rope_theta: readRopeTheta(visionConfig),
    text_hidden_size: readTextConfig(text, TEXT_DEFAULTS).hidden_size,
    text_rms_norm_eps: readPositiveNumber(text, "rms_norm_eps", 1e-5, "text_config."),
  };
}
