/** Reads the vision part of a HunyuanOCR config.json. */
import { VitgraphError } from "@vitgraph/errors";
import {
  checkHeads,
  checkPatch,
  readPositiveNumber,
  readVisionConfig,
  withNames,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' HunYuanVLVisionConfig. */
const DEFAULTS = {
  hidden_size: 1152,
  intermediate_size: 4304,
  num_hidden_layers: 27,
  num_attention_heads: 16,
  num_channels: 3,
  hidden_act: "gelu",
  interpolate_mode: "bilinear",
  patch_size: 16,
  spatial_merge_size: 2,
  max_image_size: 2048,
  out_hidden_size: 4096,
};

/** transformers' other names of these keys. */
const OTHER_NAMES = { attention_heads: "num_attention_heads", layer_norm_eps: "rms_norm_eps" };

export type HunyuanConfig = ReturnType<typeof readHunyuanConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readHunyuanConfig(given: Readonly<Record<string, unknown>>) {
  const visionConfig = withNames(given, OTHER_NAMES);
  const config = readVisionConfig(visionConfig, DEFAULTS);
  const { hidden_size, num_attention_heads: heads, max_image_size, patch_size } = config;
  checkHeads(hidden_size, "hidden_size", heads, { key: "num_attention_heads", rope: false });
  checkPatch(config.num_channels, patch_size);
  // transformers counts query heads here before it applies other names.
  const keyHeads = given.num_key_value_heads ?? readVisionConfig(given, DEFAULTS).num_attention_heads;
  if (keyHeads !== heads)
    throw wrongConfig("vision_config.num_key_value_heads", keyHeads, `${heads}, the number of query heads`);
  if (config.interpolate_mode !== "bilinear") {
    throw new VitgraphError(
      "VG_MODEL_UNSUPPORTED",
      `vision_config.interpolate_mode is ${JSON.stringify(config.interpolate_mode)}`,
      { remedy: "supported is bilinear" },
    );
  }
  return {
    ...config,
    rms_norm_eps: readPositiveNumber(visionConfig, "rms_norm_eps", 1e-5),
    /** Cells along one side of the position table. */
    side: Math.floor(max_image_size / patch_size),
  };
}
