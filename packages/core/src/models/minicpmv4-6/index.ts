/** MiniCPM-V 4.6: config reader, graph, layout, processors. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { partsLayout } from "../parts-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readMiniCPMConfig } from "./config.js";
import { buildMiniCPMGraph } from "./graph.js";
import { windowBlockLayout } from "./layout.js";
import { MINICPM_IMAGES, MINICPM_VIDEO_SIZES, MINICPM_VIDEOS } from "./preprocess.js";

export const miniCPMV4_6: ModelFamily = {
  create: createMiniCPM,
  images: MINICPM_IMAGES,
  videos: MINICPM_VIDEOS,
  videoSizes: MINICPM_VIDEO_SIZES,
};

/** Patches along one side of a token: two merges of 2. */
const MERGE = 4;

function createMiniCPM(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readMiniCPMConfig(checkpointConfig);
  return {
    modelType: "minicpmv4_6",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: MERGE,
    dims: { patches: 16, windows: 4, merged: 4, tokens: 1, segments: 1, merged_segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM infers none for this model; 64 is its usual one
    maxGridSide: MAX_GRID_SIDE,
    tiled: true,
    twoGrids: true,
    names: { prefixes: ["model.", ""] },
    buildGraph: ({ channelScale }) => buildMiniCPMGraph(config, channelScale),
    layout: (grid) => partsLayout(grid, (part) => windowBlockLayout(part, config.side)),
  };
}
