/** Reads the parts of a LLaVA-OneVision config.json for the tower (SigLIP without its last norm) and for the tiling. */
import { describe, VitgraphError } from "@vitgraph/errors";
import { pinpointsOf } from "../anyres.js";
import { readProjector, readSiglipConfig } from "../tower-config.js";
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
  qwen2: { hidden_size: 4096 },
  llama: { hidden_size: 4096 },
  mistral: { hidden_size: 4096 },
};

export type LlavaOnevisionConfig = ReturnType<typeof readLlavaOnevisionConfig>;

/** @throws VG_MODEL_INVALID naming the key, its value and the expected value; VG_MODEL_UNSUPPORTED */
export function readLlavaOnevisionConfig(checkpointConfig: Readonly<Record<string, unknown>>) {
  refuseOther("vision_feature_select_strategy", checkpointConfig.vision_feature_select_strategy, "full");
  const vision = readSiglipConfig(visionConfigOf(checkpointConfig));
  const text = readTextConfigOf(textConfigOf(checkpointConfig), TEXT_DEFAULTS);
  const side = Math.floor(vision.image_size / vision.patch_size);
  if (side < 1)
    throw wrongConfig("vision_config.image_size", vision.image_size, `at least ${vision.patch_size}`);
  const { vision_aspect_ratio: aspectRatio = "anyres_max_9" } = checkpointConfig;
  const layers = readFeatureLayers(checkpointConfig, vision.num_hidden_layers, -1);
  return {
    ...vision,
    ...readProjector(checkpointConfig),
    text_hidden_size: text.hidden_size,
    image_grid_pinpoints: pinpointsOf(checkpointConfig, vision.image_size, PINPOINTS),
    /** Number of layers that run. */
    layers,
    /** Patches along one side of a tile. */
    side,
    /** A larger grid of tiles is scaled down to about this many tiles. */
    maxTiles: maxTilesOf(aspectRatio),
  };
}

function maxTilesOf(aspectRatio: unknown): number {
  const [, tiles] = /^anyres_max_([1-9]\d{0,2})$/.exec(String(aspectRatio)) ?? [];
  if (tiles !== undefined) return Number(tiles);
  throw new VitgraphError("VG_MODEL_UNSUPPORTED", `vision_aspect_ratio is ${describe(aspectRatio)}`, {
    remedy: "supported is anyres_max_ and a number of tiles, such as anyres_max_9",
  });
}
