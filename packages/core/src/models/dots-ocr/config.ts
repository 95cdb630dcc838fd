/** Reads the vision part of a dots.ocr config.json. The tower's width is `embed_dim`; `hidden_size` is the language model's. */
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readPositiveNumber,
  readVisionConfig,
  refuseOther,
} from "../vision-config.js";

/** Names and defaults as in the checkpoint's DotsVisionConfig. */
const DEFAULTS = {
  embed_dim: 1536,
  hidden_size: 1536,
  intermediate_size: 4224,
  num_hidden_layers: 42,
  num_attention_heads: 12,
  num_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
};

export type DotsVisionConfig = ReturnType<typeof readDotsVisionConfig>;

/**
 * @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED for causal attention
 *   and for patches of several frames.
 */
export function readDotsVisionConfig(visionConfig: Readonly<Record<string, unknown>>) {
  const config = readVisionConfig(visionConfig, DEFAULTS);
  checkHeads(config.embed_dim, "embed_dim", config.num_attention_heads, { key: "num_attention_heads" });
  checkPatch(config.num_channels, config.patch_size);
  refuseOther("vision_config.is_causal", visionConfig.is_causal, false);
  refuseOther("vision_config.temporal_patch_size", visionConfig.temporal_patch_size, 1);
  return {
    ...config,
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-5),
    use_bias: readBoolean(visionConfig, "use_bias", false),
    post_norm: readBoolean(visionConfig, "post_norm", true),
  };
}
