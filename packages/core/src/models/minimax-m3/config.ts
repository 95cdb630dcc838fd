/** Reads the vision part of a MiniMax-M3 config.json, with the keys of transformers or of the hub. */
import {
  checkHeads,
  checkPatch,
  objectIn,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readTopLevel,
  readVisionConfig,
  refuseOther,
  textConfigOf,
  visionConfigOf,
} from "../vision-config.js";

/**
 * Names and defaults as in transformers' MiniMaxM3VLVisionConfig. `vision_segment_max_frames` is a key of the hub that
 * transformers does not read.
 */
const DEFAULTS = {
  hidden_size: 1280,
  hidden_act: "gelu",
  intermediate_size: 5120,
  num_hidden_layers: 32,
  num_attention_heads: 16,
  num_channels: 3,
  patch_size: 14,
  vision_segment_max_frames: 4,
};

/** The hub has these keys in the object `img_token_compression_config`. */
const MERGE_DEFAULTS = { spatial_merge_size: 2, temporal_patch_size: 2 };

/** Keys at the top level of config.json. */
const PROJECTOR_DEFAULTS = { projector_hidden_size: 6144, projector_hidden_act: "gelu" };

/** `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 6144 };

/** Supported values of keys that transformers does not read. The published model has these. */
const SUPPORTED = {
  vision_feature_layer: -1,
  vision_feature_select_strategy: "full",
  multimodal_projector_bias: true,
  patch_merge_bias: true,
};
const SUPPORTED_OF_TOWER = { position_embedding_type: "rope", rope_mode: "3d" };

export type MiniMaxM3Config = ReturnType<typeof readMiniMaxM3Config>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readMiniMaxM3Config(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  for (const [key, supported] of Object.entries(SUPPORTED))
    refuseOther(key, checkpointConfig[key], supported);
  for (const [key, supported] of Object.entries(SUPPORTED_OF_TOWER))
    refuseOther(`vision_config.${key}`, visionConfig[key], supported);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    headDim: visionConfig.head_dim,
  });
  checkPatch(vision.num_channels, vision.patch_size);
  const key = "img_token_compression_config";
  const merging =
    (visionConfig[key] ?? null) === null ? visionConfig : objectIn(visionConfig, key, `vision_config.${key}`);
  refuseOther("image_token_compression_method", merging.image_token_compression_method, "patch_merge");
  return {
    ...vision,
    ...readVisionConfig(merging, MERGE_DEFAULTS),
    ...readTopLevel(checkpointConfig, PROJECTOR_DEFAULTS),
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-5),
    rope_theta: readRopeTheta(visionConfig),
    text_hidden_size: readTextConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS).hidden_size,
  };
}
