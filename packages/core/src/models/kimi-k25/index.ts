/** Kimi-K2.5 and K2.6, for images: config reader, graph, layout, processor. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { bicubicTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readKimiConfig } from "./config.js";
import { buildKimiGraph } from "./graph.js";
import { KIMI_IMAGES } from "./preprocess.js";

export const kimiK25: ModelFamily = { create: createKimi, images: KIMI_IMAGES };

function createKimi(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readKimiConfig(checkpointConfig);
  const { merge } = config;
  return {
    modelType: "kimi_k25",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: 3,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM's
    maxGridSide: MAX_GRID_SIDE,
    // A clip would attend as a whole, and its frames be averaged.
    maxFrames: 1,
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildKimiGraph(config, channelScale),
    layout: (grid) =>
      rasterLayout(grid, merge, (positions) => ({
        // The first half of a head's pairs turn by column, the second by row.
        positions: positions.map((_, at) => positions[at ^ 1] as number),
        ...bicubicTaps(positions, grid, config.pos_emb_height),
      })),
  };
}
