/** PaliGemma and PaliGemma 2: config reader, graph, layout, processor. Weights keep transformers' names. */
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
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
    spatialMergeSize: 1,
    // An image is one segment.
    dims: { patches: 1, tokens: 1, segments: 1 / side ** 2 },
    outputColumns: [config.projection_dim],
    minTokenBudget: side ** 2, // vLLM infers none for this model; a batch has at least one image
    maxGridSide: side,
    maxFrames: 1,
    fixedGrid: { t: 1, h: side, w: side },
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildPaliGemmaGraph(config, channelScale),
    layout: (grid) => rasterLayout(grid, 1),
  };
}
