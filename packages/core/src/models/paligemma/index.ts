/** PaliGemma and PaliGemma 2: config reader, graph, layout, processor. Weights keep transformers' names. */
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import { squareTiles } from "../square-tiles.js";
import type { VisionModel } from "../vision-model.js";
import { readPaliGemmaConfig } from "./config.js";
import { buildPaliGemmaGraph } from "./graph.js";
import { PALIGEMMA_IMAGES } from "./preprocess.js";

export const paliGemma: ModelFamily = { create: createPaliGemma, images: PALIGEMMA_IMAGES };

function createPaliGemma(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readPaliGemmaConfig(checkpointConfig);
  const { patch_size: patchSize, side } = config;
  return {
    modelType: "paligemma",
    config,
    patchSize,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, 1),
    outputColumns: [config.projection_dim],
    maxFrames: 1,
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildPaliGemmaGraph(config, channelScale),
    layout: (grid) => rasterLayout(grid, 1),
  };
}
