/**
 * Reads the parts of a LLaVA-NeXT config.json for the tower and for the tiling. The tower is CLIP, whose class row is
 * dropped, or SigLIP, which has none. The features of several layers may be joined.
 */
import { type Pinpoint, pinpointsOf } from "../anyres.js";
import { readClipConfig, readProjector, readSiglipConfig } from "../tower-config.js";
import {
  readFeatureLayers,
  readTextConfigOf,
  refuseOther,
  textConfigOf,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";
import { PINPOINTS } from "./preprocess.js";

/** Defaults of transformers' language models. `hidden_size` is the number of output columns. */
const TEXT_DEFAULTS = {
  llama: { hidden_size: 4096 },
  mistral: { hidden_size: 4096 },
  granite: { hidden_size: 4096 },
  qwen2: { hidden_size: 4096 },
};

export type LlavaNextConfig = ReturnType<typeof readLlavaNextConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readLlavaNextConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  const visionConfig = visionConfigOf(checkpointConfig);
  const isSiglip = visionConfig.model_type === "siglip_vision_model";
  const { vision_feature_select_strategy: strategy = "default", vision_feature_layer: layer = -2 } =
    checkpointConfig;
  refuseOther("vision_feature_select_strategy", strategy, isSiglip ? "full" : "default");
  const vision = isSiglip ? readSiglipConfig(visionConfig) : readClipConfig(visionConfig);
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const side = Math.floor(vision.image_size / vision.patch_size);
  if (side < 1)
    throw wrongConfig("vision_config.image_size", vision.image_size, `at least ${vision.patch_size}`);
  const image_grid_pinpoints: readonly Pinpoint[] = pinpointsOf(
    checkpointConfig,
    vision.image_size,
    PINPOINTS,
  );
  return {
    ...vision,
    ...readProjector(checkpointConfig),
    text_hidden_size: text.hidden_size,
    image_grid_pinpoints,
    /** For each joined feature, the number of layers that run before it. */
    featureLayers: readLayers(layer, vision.num_hidden_layers),
    hasClassRow: !isSiglip,
    /** Patches along one side of a tile. */
    side,
  };
}

/** @param value a layer, or a list of at most `depth`. @throws VG_MODEL_UNSUPPORTED */
function readLayers(value: unknown, depth: number): readonly number[] {
  const isList = Array.isArray(value) && value.length > 0 && value.length <= depth;
  const layers: readonly unknown[] = isList ? value : [value];
  return layers.map((vision_feature_layer) => readFeatureLayers({ vision_feature_layer }, depth, -2));
}
