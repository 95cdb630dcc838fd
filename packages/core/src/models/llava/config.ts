/** Reads the vision part of a LLaVA 1.5 config.json: CLIP, of which the last layers do not run. */
import { readClipConfig, readProjector } from "../tower-config.js";
import {
  readFeatureLayers,
  readTextConfigOf,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = {
  llama: { hidden_size: 4096 },
  mistral: { hidden_size: 4096 },
  qwen2: { hidden_size: 4096 },
};

export type LlavaConfig = ReturnType<typeof readLlavaConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readLlavaConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  refuseOther("vision_feature_select_strategy", checkpointConfig.vision_feature_select_strategy, "default");
  const vision = readClipConfig(visionConfigOf(checkpointConfig));
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const side = vision.image_size / vision.patch_size;
  if (!Number.isInteger(side))
    throw wrongConfig("vision_config.image_size", vision.image_size, "a multiple of patch_size");
  const layers = readFeatureLayers(checkpointConfig, vision.num_hidden_layers, -2);
  return {
    ...vision,
    ...readProjector(checkpointConfig),
    text_hidden_size: text.hidden_size,
    /** Number of layers that run. */
    layers,
    /** Patches along one side. */
    side,
  };
}
