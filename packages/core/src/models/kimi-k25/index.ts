/** Kimi-VL, Kimi-K2.5 and K2.6, for images: config reader, graph, layout, processors. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { bicubicTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import type { TensorNames, VisionModel } from "../vision-model.js";
import { readKimiConfig } from "./config.js";
import { buildKimiGraph } from "./graph.js";
import { KIMI_IMAGES, KIMI_VL_IMAGES } from "./preprocess.js";

export const kimiK25: ModelFamily = {
  create: (config) => createKimi(config, "kimi_k25", { prefixes: ["", "model."] }),
  images: KIMI_IMAGES,
};

/** MoonViT, which is Kimi-K2.5's tower for stills. */
export const kimiVL: ModelFamily = {
  create: (config) =>
    createKimi(config, "kimi_vl", {
      prefixes: [""],
      renamed: [
        [/^mm_projector\.proj\.0/, "multi_modal_projector.linear_1"],
        [/^mm_projector\.proj\.2/, "multi_modal_projector.linear_2"],
        [/^mm_projector\./, "multi_modal_projector."],
      ],
    }),
  images: KIMI_VL_IMAGES,
};

function createKimi(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: string,
  names: TensorNames,
): VisionModel {
  const config = readKimiConfig(checkpointConfig);
  const { merge } = config;
  return {
    modelType,
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
    names,
    buildGraph: ({ channelScale }) => buildKimiGraph(config, channelScale),
    layout: (grid) =>
      rasterLayout(grid, merge, (positions) => ({
        // The first half of a head's pairs turn by column, the second by row.
        positions: positions.map((_, at) => positions[at ^ 1] as number),
        ...bicubicTaps(positions, grid, config.pos_emb_height),
      })),
  };
}
