/** LFM2-VL and LFM2.5-VL: config reader, graph, layout, processor. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { partsLayout } from "../parts-layout.js";
import { antialiasedTable, antialiasedTaps } from "../patch-tables.js";
import { rasterLayout } from "../raster-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readLfm2VLConfig } from "./config.js";
import { buildLfm2VLGraph } from "./graph.js";
import { LFM2_VL_IMAGES } from "./preprocess.js";

export const lfm2VL: ModelFamily = { create: createLfm2VL, images: LFM2_VL_IMAGES };

function createLfm2VL(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readLfm2VLConfig(checkpointConfig);
  const merge = config.downsample_factor;
  const table = antialiasedTable(config.side, merge);
  return {
    modelType: "lfm2_vl",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM's: min_image_tokens of the processor
    maxGridSide: MAX_GRID_SIDE,
    tiled: true,
    twoGrids: true,
    names: { prefixes: ["model.", ""] },
    buildGraph: ({ channelScale }) => buildLfm2VLGraph(config, table, channelScale),
    layout: (grid) =>
      partsLayout(grid, (part) =>
        rasterLayout(part, merge, (positions) => antialiasedTaps(positions, part, table)),
      ),
  };
}
