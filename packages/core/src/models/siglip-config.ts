/** Reads the `vision_config` of a SigLIP tower, for families whose config.json has transformers' SiglipVisionConfig. */
import { SIGLIP_DEFAULTS } from "./siglip.js";
import { checkHeads, checkPatch, readVisionConfig, refuseOther } from "./vision-config.js";

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED for other towers */
export function readSiglipConfig(visionConfig: Readonly<Record<string, unknown>>) {
  refuseOther("vision_config.model_type", visionConfig.model_type, "siglip_vision_model");
  const vision = readVisionConfig(visionConfig, SIGLIP_DEFAULTS);
  const { hidden_size, num_attention_heads, num_channels, patch_size } = vision;
  checkHeads(hidden_size, "hidden_size", num_attention_heads, { key: "num_attention_heads", rope: false });
  checkPatch(num_channels, patch_size);
  return vision;
}
