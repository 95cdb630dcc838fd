/** Reads the parts that families with a SigLIP or CLIP tower have in common: its `vision_config`, and an MLP as projector. */
import {
  type ConfigWith,
  checkHeads,
  checkPatch,
  readBoolean,
  readTopLevel,
  readVisionConfig,
  refuseOther,
} from "./vision-config.js";

/** Names and defaults as in transformers' SiglipVisionConfig. */
export const SIGLIP_DEFAULTS = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  num_channels: 3,
  image_size: 224,
  patch_size: 16,
  hidden_act: "gelu_pytorch_tanh",
  layer_norm_eps: 1e-6,
};

/** The same for CLIPVisionConfig. */
const CLIP_DEFAULTS = { ...SIGLIP_DEFAULTS, patch_size: 32, hidden_act: "quick_gelu", layer_norm_eps: 1e-5 };

/** SigLIP So400m, which many published models have, at several image sizes. */
export const SIGLIP_SO400M = {
  num_hidden_layers: 27,
  hidden_size: 1152,
  intermediate_size: 4304,
  num_attention_heads: 16,
  num_channels: 3,
  patch_size: 14,
  hidden_act: "gelu_pytorch_tanh",
} as const;

/** CLIP-L at 336 pixels. */
export const CLIP_L = {
  model_type: "clip_vision_model",
  num_hidden_layers: 24,
  hidden_size: 1024,
  intermediate_size: 4096,
  num_attention_heads: 16,
  num_channels: 3,
  image_size: 336,
  patch_size: 14,
  hidden_act: "quick_gelu",
} as const;

type Config = Readonly<Record<string, unknown>>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED for other towers */
export function readSiglipConfig(visionConfig: Config) {
  refuseOther("vision_config.model_type", visionConfig.model_type, "siglip_vision_model");
  return readTower(visionConfig, SIGLIP_DEFAULTS);
}

/** As {@link readSiglipConfig}, for CLIP. */
export function readClipConfig(visionConfig: Config) {
  refuseOther("vision_config.model_type", visionConfig.model_type, "clip_vision_model");
  return readTower(visionConfig, CLIP_DEFAULTS);
}

/** The defaults of a tower of SigLIP's form. */
type TowerDefaults = Omit<typeof SIGLIP_DEFAULTS, "image_size">;

/** As {@link readSiglipConfig}, for a family's own class of the tower. @throws VG_MODEL_INVALID */
export function readTower<const D extends TowerDefaults>(visionConfig: Config, defaults: D): ConfigWith<D> {
  const vision: ConfigWith<TowerDefaults> = readVisionConfig(visionConfig, defaults);
  const { hidden_size, num_attention_heads, num_channels, patch_size } = vision;
  checkHeads(hidden_size, "hidden_size", num_attention_heads, { key: "num_attention_heads", rope: false });
  checkPatch(num_channels, patch_size);
  return vision as ConfigWith<D>;
}

/** The MLP after the tower: keys at the top level of config.json. @throws VG_MODEL_INVALID */
export function readProjector(checkpointConfig: Config) {
  return {
    ...readTopLevel(checkpointConfig, { projector_hidden_act: "gelu" }),
    multimodal_projector_bias: readBoolean(checkpointConfig, "multimodal_projector_bias", true, ""),
  };
}
