/** PaddleOCR-VL: config reader, graph, layout, processor. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { bilinearTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readPaddleOCRConfig } from "./config.js";
import { buildPaddleOCRGraph } from "./graph.js";
import { PADDLEOCR_IMAGES } from "./preprocess.js";

export const paddleOCRVL: ModelFamily = { create: createPaddleOCR, images: PADDLEOCR_IMAGES };

function createPaddleOCR(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readPaddleOCRConfig(checkpointConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "paddleocr_vl",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM infers none for this model; 64 is its usual one
    maxGridSide: MAX_GRID_SIDE,
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildPaddleOCRGraph(config, channelScale),
    layout: (grid) =>
      rasterLayout(grid, merge, (positions) => ({
        positions,
        ...bilinearTaps(positions, grid, config.side),
      })),
  };
}
