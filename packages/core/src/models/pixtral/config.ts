/** Reads the vision part of a config.json with Pixtral's tower: Pixtral itself, Mistral Small 3, Ministral 3 and LightOnOCR. */
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readRopeTheta,
  readTextConfigOf,
  readTopLevel,
  readVisionConfig,
  refuseOther,
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

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const LANGUAGE_MODELS = {
  llama: { hidden_size: 4096, rms_norm_eps: 1e-6 },
  mistral: { hidden_size: 4096, rms_norm_eps: 1e-6 },
  ministral3: { hidden_size: 4096, rms_norm_eps: 1e-5 },
  qwen3: { hidden_size: 4096, rms_norm_eps: 1e-6 },
};

/** The language model of a text_config without model_type. */
const USUAL_LANGUAGE_MODEL = { pixtral: "llama", mistral3: "mistral", lighton_ocr: "qwen3" } as const;

/** `model_type` of config.json; `pixtral` is that of the tower of a LLaVA. */
export type PixtralModelType = keyof typeof USUAL_LANGUAGE_MODEL;

export type PixtralConfig = ReturnType<typeof readPixtralConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readPixtralConfig(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: PixtralModelType,
) {
  const visionConfig = visionConfigOf(checkpointConfig);
  refuseOther("vision_config.model_type", visionConfig.model_type, "pixtral");
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const projector = readTopLevel(checkpointConfig, PROJECTOR_DEFAULTS);
  const isLlava = modelType === "pixtral";
  const usual = USUAL_LANGUAGE_MODEL[modelType];
  const text = readTextConfigOf(textConfigOf(checkpointConfig), {
    [usual]: LANGUAGE_MODELS[usual],
    ...LANGUAGE_MODELS,
  });
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    headDim: visionConfig.head_dim,
  });
  checkPatch(vision.num_channels, vision.patch_size);
  // LLaVA's defaults are for another tower: the last layer but one, without its first row.
  const { vision_feature_layer = isLlava ? -2 : -1, vision_feature_select_strategy = "default" } =
    checkpointConfig;
  refuseOther("vision_feature_layer", vision_feature_layer, -1);
  if (isLlava) refuseOther("vision_feature_select_strategy", vision_feature_select_strategy, "full");
  return {
    ...vision,
    ...projector,
    spatial_merge_size: isLlava ? 1 : projector.spatial_merge_size,
    rope_theta: readRopeTheta(visionConfig),
    multimodal_projector_bias: readBoolean(checkpointConfig, "multimodal_projector_bias", isLlava, ""),
    text_hidden_size: text.hidden_size,
    text_rms_norm_eps: text.rms_norm_eps,
  };
}
