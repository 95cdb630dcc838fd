/** Reads the vision part of an LFM2-VL config.json: SigLIP 2, and a projector that merges patches. */
import { readTower, SIGLIP_DEFAULTS } from "../tower-config.js";
import {
  readBoolean,
  readTextConfigOf,
  readTopLevel,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Siglip2VisionConfig. */
const { image_size: _, ...SIGLIP2 } = SIGLIP_DEFAULTS;
const DEFAULTS = { ...SIGLIP2, num_patches: 256 };

/** Keys at the top level of config.json. Defaults as in transformers' Lfm2VlConfig. */
const PROJECTOR_DEFAULTS = {
  projector_hidden_act: "gelu",
  projector_hidden_size: 2560,
  downsample_factor: 2,
};

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { lfm2: { hidden_size: 2560 }, lfm2_moe: { hidden_size: 2048 } };

export type Lfm2VLConfig = ReturnType<typeof readLfm2VLConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value. */
export function readLfm2VLConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  refuseOther("vision_config.model_type", visionConfig.model_type, "siglip2_vision_model");
  const vision = readTower(visionConfig, DEFAULTS);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const side = Math.sqrt(vision.num_patches);
  // The loaded table grows with the fourth power of the side: see `AntialiasedTable`.
  if (!Number.isInteger(side) || side > 32)
    throw wrongConfig("vision_config.num_patches", vision.num_patches, "a square of at most 1024");
  return {
    ...vision,
    ...readTopLevel(checkpointConfig, PROJECTOR_DEFAULTS),
    projector_bias: readBoolean(checkpointConfig, "projector_bias", true, ""),
    projector_use_layernorm: readBoolean(checkpointConfig, "projector_use_layernorm", true, ""),
    text_hidden_size: text.hidden_size,
    /** Cells along one side of the position table. */
    side,
  };
}
