/** Reads the vision part of a config.json with Pixtral's tower: Pixtral itself, Mistral Small 3, Ministral 3 and LightOnOCR. */
import { describe, VitgraphError } from "@vitgraph/errors";
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readPositiveNumber,
  readRopeTheta,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
} from "../vision-config.js";

/** Names and defaults as in transformers' PixtralVisionConfig. */
const DEFAULTS = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  num_channels: 3,
  patch_size: 16,
  hidden_act: "gelu",
};

/** Keys at the top level of config.json. */
const PROJECTOR_DEFAULTS = { projector_hidden_act: "gelu", spatial_merge_size: 2 };

/** Defaults of transformers' MistralConfig. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 4096 };

export type PixtralConfig = ReturnType<typeof readPixtralConfig>;

/**
 * @param merges whether the projector merges spatial_merge_size² patches into a token, as in mistral3 and lighton_ocr
 * @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED
 */
export function readPixtralConfig(checkpointConfig: Readonly<Record<string, unknown>>, merges: boolean) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const projector = readVisionConfig(checkpointConfig, PROJECTOR_DEFAULTS);
  const textConfig = textConfigOf(checkpointConfig);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, { key: "num_attention_heads" });
  checkPatch(vision.num_channels, vision.patch_size);
  const layer = checkpointConfig.vision_feature_layer ?? -1;
  if (layer !== -1) {
    throw new VitgraphError("VG_MODEL_UNSUPPORTED", `vision_feature_layer is ${describe(layer)}`, {
      remedy: "supported is the last layer of this tower, −1",
    });
  }
  return {
    ...vision,
    ...projector,
    spatial_merge_size: merges ? projector.spatial_merge_size : 1,
    rope_theta: readRopeTheta(visionConfig),
    multimodal_projector_bias: readBoolean(checkpointConfig, "multimodal_projector_bias", !merges),
    text_hidden_size: readVisionConfig(textConfig, TEXT_DEFAULTS).hidden_size,
    text_rms_norm_eps: readPositiveNumber(textConfig, "rms_norm_eps", 1e-6, "text_config.rms_norm_eps"),
  };
}
