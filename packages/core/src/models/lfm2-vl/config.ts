/** Reads the vision part of an LFM2-VL config.json: SigLIP 2, and a projector that merges patches. */
import {
  checkHeads,
  checkPatch,
  readBoolean,
  readPositiveNumber,
  readTextConfigOf,
  readTopLevel,
  readVisionConfig,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Names and defaults as in transformers' Siglip2VisionConfig. */
const DEFAULTS = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  num_channels: 3,
  patch_size: 16,
  hidden_act: "gelu_pytorch_tanh",
  num_patches: 256,
};

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
  const vision = readVisionConfig(visionConfig, DEFAULTS);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  checkHeads(vision.hidden_size, "hidden_size", vision.num_attention_heads, {
    key: "num_attention_heads",
    rope: false,
  });
  checkPatch(vision.num_channels, vision.patch_size);
  const side = Math.sqrt(vision.num_patches);
  // The loaded table grows with the fourth power of the side: see `AntialiasedTable`.
  if (!Number.isInteger(side) || side > 32)
    throw wrongConfig("vision_config.num_patches", vision.num_patches, "a square of at most 1024");
  return {
    ...vision,
    ...readTopLevel(checkpointConfig, PROJECTOR_DEFAULTS),
    layer_norm_eps: readPositiveNumber(visionConfig, "layer_norm_eps", 1e-6),
    projector_bias: readBoolean(checkpointConfig, "projector_bias", true, "projector_bias"),
    projector_use_layernorm: readBoolean(
      checkpointConfig,
      "projector_use_layernorm",
      true,
      "projector_use_layernorm",
    ),
    text_hidden_size: text.hidden_size,
    /** Cells along one side of the position table. */
    side,
  };
}
