/** ERNIE-4.5-VL, only for images: config reader, graph, layout, processor. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import type { VisionModel } from "../vision-model.js";
import { readErnieConfig } from "./config.js";
import { buildErnieGraph } from "./graph.js";
import { ERNIE_IMAGES } from "./preprocess.js";

export const ernie4_5VL: ModelFamily = { create: createErnie, images: ERNIE_IMAGES };

function createErnie(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readErnieConfig(checkpointConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "ernie4_5_vl_moe",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.in_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM's
    maxGridSide: MAX_GRID_SIDE,
    // Still images only: the weights merge a frame with itself, and a clip merges its frames in pairs.
    maxFrames: 1,
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildErnieGraph(config, channelScale),
    layout: (grid) => mergeBlockLayout(grid, merge),
  };
}
