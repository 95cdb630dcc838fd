/** Reads the vision part of a Kimi-K2.5 or Kimi-VL config.json, with the key names of transformers or of the hub. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readRopeTheta,
  readTextConfigOf,
  readVisionConfig,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  withNames,
  wrongConfig,
} from "../vision-config.js";
import { CHUNK_FRAMES } from "./layout.js";

/** Names and defaults as in transformers' Kimi_K25VisionConfig. */
const DEFAULTS = {
  hidden_size: 1152,
  hidden_act: "gelu_pytorch_tanh",
  intermediate_size: 4304,
  num_hidden_layers: 27,
  num_attention_heads: 16,
  patch_size: 14,
  merge_kernel_size: [2, 2],
  pos_emb_height: 64,
  pos_emb_width: 64,
};

/** The hub's names of these keys. */
const HUB_NAMES = {
  vt_hidden_size: "hidden_size",
  vt_intermediate_size: "intermediate_size",
  vt_num_hidden_layers: "num_hidden_layers",
  vt_num_attention_heads: "num_attention_heads",
  init_pos_emb_height: "pos_emb_height",
  init_pos_emb_width: "pos_emb_width",
  init_pos_emb_time: "pos_emb_time",
};

/** Supported values of keys that control the encoding of clips. No published model sets other values. */
const CLIPS = { pos_emb_time: CHUNK_FRAMES, video_attn_type: "spatial_temporal", merge_type: "sd2_tpool" };

/** Defaults of transformers' DeepseekV3Config, also for `kimi_k2`. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { deepseek_v3: { hidden_size: 7168 }, kimi_k2: { hidden_size: 7168 } };

export type KimiConfig = ReturnType<typeof readKimiConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readKimiConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const given = visionConfigOf(checkpointConfig);
  const visionConfig = withNames(given, HUB_NAMES);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  for (const [key, supported] of Object.entries(CLIPS))
    refuseOther(`vision_config.${key}`, visionConfig[key], supported);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    headDim: visionConfig.head_dim,
  });
  checkPatch(3, vision.patch_size);
  const [merge, ...others] = vision.merge_kernel_size;
  if (merge === undefined || merge === 0 || others.length !== 1 || others[0] !== merge)
    throw wrongConfig("vision_config.merge_kernel_size", vision.merge_kernel_size, "two equal numbers");
  if (vision.pos_emb_width !== vision.pos_emb_height)
    throw wrongConfig(
      "vision_config.pos_emb_width",
      vision.pos_emb_width,
      `pos_emb_height ${vision.pos_emb_height}`,
    );
  const projectorEpsilon = readPositiveNumber(given, "projector_ln_eps", 1e-5);
  return {
    ...vision,
    merge,
    rope_theta: readRopeTheta(visionConfig),
    projection_layer_norm_eps: readPositiveNumber(
      checkpointConfig,
      "projection_layer_norm_eps",
      projectorEpsilon,
      "",
    ),
    text_hidden_size: text.hidden_size,
  };
}
