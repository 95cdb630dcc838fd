/** Qwen2-VL: config reader, graph, layout, processors. Weights keep transformers' names. */
import { MAX_GRID_SIDE } from "../layers.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { readQwen2VLVisionConfig } from "./config.js";
import { buildQwen2VLGraph } from "./graph.js";
import { QWEN2_VL_IMAGES, QWEN2_VL_VIDEOS } from "./preprocess.js";

export const qwen2VL: ModelFamily = {
  create: (config) => createQwen2VL(visionConfigOf(config)),
  images: QWEN2_VL_IMAGES,
  videos: QWEN2_VL_VIDEOS,
};

function createQwen2VL(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readQwen2VLVisionConfig(visionConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "qwen2_vl",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.in_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.hidden_size],
    minTokenBudget: 64, // vLLM's for the Qwen-VL families
    maxGridSide: MAX_GRID_SIDE,
    names: { prefixes: ["visual.", "model.visual."] },
    buildGraph: ({ channelScale }) => buildQwen2VLGraph(config, channelScale),
    layout: (grid) => mergeBlockLayout(grid, merge),
  };
}
