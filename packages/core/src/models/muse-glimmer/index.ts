/** Muse-Glimmer: config reader, graph, layout, processors. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { zeroPaddedTaps } from "../patch-tables.js";
import type { VisionModel } from "../vision-model.js";
import { windowLayout } from "../window-layout.js";
import { CHANNELS, readMuseGlimmerConfig } from "./config.js";
import { buildMuseGlimmerGraph } from "./graph.js";
import { MUSE_GLIMMER_IMAGES, MUSE_GLIMMER_VIDEO_SIZES, MUSE_GLIMMER_VIDEOS } from "./preprocess.js";

export const museGlimmer: ModelFamily = {
  create: createMuseGlimmer,
  images: MUSE_GLIMMER_IMAGES,
  videos: MUSE_GLIMMER_VIDEOS,
  videoSizes: MUSE_GLIMMER_VIDEO_SIZES,
};

function createMuseGlimmer(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readMuseGlimmerConfig(checkpointConfig);
  const { merge_size: merge, pos_emb_height: side } = config;
  return {
    modelType: "muse_glimmer",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.patch_temporal,
    channels: CHANNELS,
    framesFirst: true,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1, windows: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM captures no graphs for this model
    maxGridSide: MAX_GRID_SIDE - 1, // positions start at 1
    names: { prefixes: ["model.", ""] },
    buildGraph: ({ channelScale }) => buildMuseGlimmerGraph(config, channelScale),
    // A window has the patches of the position table.
    layout: (grid) =>
      windowLayout(grid, merge, side / merge, {
        rasterItems: true,
        tablesOf: (positions) => ({
          // The column before the row, both counted from 1. The base changes no score, only its rounding.
          positions: positions.map((_, at) => (positions[at ^ 1] as number) + 1),
          ...zeroPaddedTaps(positions, grid, side),
        }),
      }),
  };
}
