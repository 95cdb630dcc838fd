/** Reads the vision part of the config.json of Gemma 4 12B, whose vision embedder has no layers. */
import {
  checkPatch,
  readPositiveNumber,
  readTextConfig,
  readVisionConfig,
  textConfigOf,
  visionConfigOf,
} from "../vision-config.js";

/** Names and defaults as in transformers' Gemma4UnifiedVisionConfig. */
const DEFAULTS = { patch_size: 16, pooling_kernel_size: 3, mm_embed_dim: 3840, mm_posemb_size: 1120 };

/** Defaults of transformers' Gemma4UnifiedTextConfig. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { hidden_size: 2304 };

export type Gemma4UnifiedConfig = ReturnType<typeof readGemma4UnifiedConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readGemma4UnifiedConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const text = readTextConfig(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  checkPatch(3, vision.patch_size);
  return {
    ...vision,
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-6),
    text_hidden_size: text.hidden_size,
    /** Pixels along one side of a token. */
    model_patch_size: vision.patch_size * vision.pooling_kernel_size,
  };
}
