/** Reads the vision part of a LLaVA-OneVision-1.5 config.json. */
import { checkHeads, checkPatch, readPositiveNumber, readVisionConfig } from "../vision-config.js";

/** Names and defaults as in the checkpoint's RiceConfig. */
const DEFAULTS = {
  depth: 24,
  hidden_size: 1024,
  hidden_act: "gelu",
  intermediate_size: 4096,
  num_heads: 16,
  in_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
  text_hidden_size: 2560,
};

export type RiceConfig = ReturnType<typeof readRiceConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readRiceConfig(visionConfig: Readonly<Record<string, unknown>>) {
  const config = readVisionConfig(visionConfig, DEFAULTS);
  checkHeads(config.hidden_size, "hidden_size", config.num_heads);
  checkPatch(config.in_channels, config.patch_size);
  return { ...config, layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-5) };
}
