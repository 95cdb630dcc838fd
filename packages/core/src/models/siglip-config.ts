/** Reads the `vision_config` of a SigLIP tower, for families whose config.json has transformers' SiglipVisionConfig. */
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readVisionConfig,
  refuseOther,
} from "./vision-config.js";

/** Names and defaults as in transformers' SiglipVisionConfig. */
export const SIGLIP_DEFAULTS = {
  num_hidden_layers: 12,
  hidden_size: 768,
  hidden_act: "gelu_pytorch_tanh",
  intermediate_size: 3072,
  num_attention_heads: 12,
  num_channels: 3,
  image_size: 224,
  patch_size: 16,
};

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED for other towers */
export function readSiglipConfig(visionConfig: Readonly<Record<string, unknown>>) {
  refuseOther("vision_config.model_type", visionConfig.model_type, "siglip_vision_model");
  const vision = readVisionConfig(visionConfig, SIGLIP_DEFAULTS);
  const { hidden_size, num_attention_heads, num_channels, patch_size } = vision;
  checkHeads(hidden_size, "hidden_size", num_attention_heads, { key: "num_attention_heads", rope: false });
  checkPatch(num_channels, patch_size);
  return { ...vision, layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6) };
}
