/** dots.ocr and dots.mocr, which share a tower: config reader, graph, layout, processor. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { readDotsVisionConfig } from "./config.js";
import { buildDotsGraph } from "./graph.js";
import { DOTS_IMAGES } from "./preprocess.js";

export const dotsOCR: ModelFamily = {
  create: (config) => createDots(visionConfigOf(config)),
  images: DOTS_IMAGES,
};

function createDots(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readDotsVisionConfig(visionConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "dots_ocr",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.hidden_size],
    minTokenBudget: 64, // vLLM's
    maxGridSide: MAX_GRID_SIDE,
    names: {
      prefixes: ["vision_tower."],
      renamed: [
        [/(?<=\.mlp\.)gate_proj/, "fc1"],
        [/(?<=\.mlp\.)up_proj/, "fc3"],
        [/(?<=\.mlp\.)down_proj/, "fc2"],
      ],
    },
    buildGraph: ({ channelScale }) => buildDotsGraph(config, channelScale),
    layout: (grid) => mergeBlockLayout(grid, merge),
  };
}
