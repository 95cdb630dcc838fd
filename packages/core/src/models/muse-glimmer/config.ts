/** Reads the vision part of a Muse-Glimmer config.json. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readRopeTheta,
  readTextConfig,
  readTopLevel,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

export const CHANNELS = 3;

/** Names and defaults as in transformers' MuseGlimmerVisionConfig. */
const DEFAULTS = {
  hidden_size: 1536,
  hidden_act: "gelu",
  intermediate_size: 8960,
  num_hidden_layers: 50,
  num_attention_heads: 16,
  patch_size: 14,
  patch_temporal: 2,
  merge_size: 2,
  pos_emb_height: 32,
  pos_emb_width: 32,
};

/** Keys at the top level of config.json. */
const PROJECTOR_DEFAULTS = { projector_hidden_size: 4096, projector_hidden_act: "gelu" };

/** `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 6656 };

const LAYER_TYPES = ["window_attention", "full_attention"];

export type MuseGlimmerConfig = ReturnType<typeof readMuseGlimmerConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value */
export function readMuseGlimmerConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const text = textConfigOf(checkpointConfig);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    headDim: visionConfig.head_dim,
  });
  checkPatch(CHANNELS, vision.patch_size);
  const side = vision.pos_emb_height;
  if (vision.pos_emb_width !== side)
    throw wrongConfig(
      "vision_config.pos_emb_width",
      vision.pos_emb_width,
      `pos_emb_height, which is ${side}`,
    );
  // The table's side is also that of a window, which holds whole tokens.
  if (side % vision.merge_size !== 0)
    throw wrongConfig("vision_config.pos_emb_height", side, `a multiple of merge_size ${vision.merge_size}`);
  return {
    ...vision,
    ...readTopLevel(checkpointConfig, PROJECTOR_DEFAULTS),
    full_attention_layers: readFullAttentionLayers(visionConfig.layer_types, vision.num_hidden_layers),
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-5),
    rope_theta: readRopeTheta(visionConfig),
    text_hidden_size: readTextConfig(text, TEXT_DEFAULTS).hidden_size,
    text_rms_norm_eps: readPositiveNumber(text, "rms_norm_eps", 1e-5, "text_config."),
  };
}

/** Layers that attend within a frame; the others attend within windows. Default: every fourth layer, and the last. */
function readFullAttentionLayers(given: unknown, depth: number): readonly number[] {
  const layers = Array.from({ length: depth }, (_, layer) => layer);
  const types = given ?? layers.map((layer) => LAYER_TYPES[Number(layer % 4 === 3 || layer === depth - 1)]);
  if (!Array.isArray(types) || types.length !== depth || !types.every((type) => LAYER_TYPES.includes(type)))
    throw wrongConfig(
      "vision_config.layer_types",
      given,
      `for each of ${depth} layers, ${LAYER_TYPES.join(" or ")}`,
    );
  return layers.filter((layer) => types[layer] === "full_attention");
}
