/** HunyuanOCR: config reader, graph, layout, processor. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { readHunyuanConfig } from "./config.js";
import { buildHunyuanGraph } from "./graph.js";
import { lineLayout, outputRows } from "./layout.js";
import { HUNYUAN_IMAGES } from "./preprocess.js";

export const hunyuanVL: ModelFamily = {
  create: (config) => createHunyuan(visionConfigOf(config)),
  images: HUNYUAN_IMAGES,
};

function createHunyuan(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readHunyuanConfig(visionConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "hunyuan_vl",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, merged: 1, tokens: 1, segments: 1 },
    outputColumns: [config.out_hidden_size],
    minTokenBudget: 64, // vLLM infers none for this model; 64 is its usual minimum
    maxGridSide: MAX_GRID_SIDE,
    maxFrames: 1,
    names: { prefixes: ["vit.", "model.vit."] },
    tokensOf: (grid) => outputRows(grid, merge),
    buildGraph: ({ channelScale }) => buildHunyuanGraph(config, channelScale),
    layout: (grid) => lineLayout(grid, merge, config.side),
  };
}
