/** Reads the parts of a Command A Vision or Aya Vision config.json that define the SigLIP tower and its projector. */
import { readSiglipConfig } from "../tower-config.js";
import {
  readFeatureLayers,
  readPositiveNumber,
  readTextConfigOf,
  readTopLevel,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Default of transformers' Cohere2VisionConfig. In AyaVisionConfig it is the width of the language model. */
const COMMAND_A_ALIGNMENT = 36_864;

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = { cohere2: { hidden_size: 8192 }, cohere: { hidden_size: 8192 } };

export type Cohere2VisionModelType = "cohere2_vision" | "aya_vision";

export type Cohere2VisionConfig = ReturnType<typeof readCohere2VisionConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readCohere2VisionConfig(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: Cohere2VisionModelType,
) {
  const isAya = modelType === "aya_vision";
  const vision = readSiglipConfig(visionConfigOf(checkpointConfig));
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const { downsample_factor: merge, alignment_intermediate_size: alignment } = readTopLevel(
    checkpointConfig,
    { downsample_factor: 2, alignment_intermediate_size: isAya ? text.hidden_size : COMMAND_A_ALIGNMENT },
  );
  // A class row, which SigLIP does not have, would be dropped.
  if (isAya)
    refuseOther("vision_feature_select_strategy", checkpointConfig.vision_feature_select_strategy, "full");
  const { image_size, patch_size, num_hidden_layers } = vision;
  const side = image_size / patch_size;
  if (!Number.isInteger(side) || side % merge !== 0)
    throw wrongConfig(
      "vision_config.image_size",
      image_size,
      `a multiple of ${merge} patches of ${patch_size} pixels`,
    );
  if (alignment % 2 !== 0) throw wrongConfig("alignment_intermediate_size", alignment, "an even number");
  return {
    ...vision,
    text_hidden_size: text.hidden_size,
    alignment_intermediate_size: alignment,
    /** Number of layers that run. */
    layers: isAya ? readFeatureLayers(checkpointConfig, num_hidden_layers, -1) : num_hidden_layers,
    /** Of the norm after the merge of patches. Command A Vision has the tower's last norm instead, before it. */
    adapter_layer_norm_eps: isAya
      ? readPositiveNumber(checkpointConfig, "adapter_layer_norm_eps", 1e-6, "")
      : undefined,
    /** Patches along one side of a tile. */
    side,
    merge,
  };
}
