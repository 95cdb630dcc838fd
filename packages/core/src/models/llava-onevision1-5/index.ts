/** LLaVA-OneVision-1.5: config reader, graph, layout, processors. Weights keep the hub's names. */
import { withRotatedClassRows } from "../class-row.js";
import { LEARNED_POSITION, MAX_GRID_SIDE } from "../layers.js";
import { mergeBlockLayout, mergeBlockPositions } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { readRiceConfig } from "./config.js";
import { buildRiceGraph } from "./graph.js";
import { LLAVA_ONEVISION1_5_IMAGES, LLAVA_ONEVISION1_5_VIDEOS } from "./preprocess.js";

export const llavaOnevision1_5: ModelFamily = {
  create: (config) => createLlavaOnevision1_5(visionConfigOf(config)),
  images: LLAVA_ONEVISION1_5_IMAGES,
  videos: LLAVA_ONEVISION1_5_VIDEOS,
};

function createLlavaOnevision1_5(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readRiceConfig(visionConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "llavaonevision1_5",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.in_channels,
    spatialMergeSize: merge,
    // The worst case is a frame of one token, which has one class row.
    dims: { patches: merge ** 2, tokens: 1, segments: 1, rows: merge ** 2 + 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM does not have this model
    maxGridSide: MAX_GRID_SIDE,
    names: { prefixes: ["visual.", "model.visual."] },
    buildGraph: ({ channelScale }) => buildRiceGraph(config, channelScale),
    layout: (grid) => {
      const patches = mergeBlockLayout(grid, merge, () => ({}));
      return withRotatedClassRows(grid, patches, mergeBlockPositions(grid, merge), LEARNED_POSITION);
    },
  };
}
