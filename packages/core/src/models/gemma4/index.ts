/** Gemma 4, for both of its towers: config reader, graph, layout, processors. Weights keep transformers' names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readGemma4Config } from "./config.js";
import { buildGemma4Graph } from "./graph.js";
import { GEMMA4_IMAGES, GEMMA4_VIDEO_SIZES, GEMMA4_VIDEOS } from "./preprocess.js";

export const gemma4: ModelFamily = {
  create: createGemma4,
  images: GEMMA4_IMAGES,
  videos: GEMMA4_VIDEOS,
  videoSizes: GEMMA4_VIDEO_SIZES,
};

function createGemma4(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readGemma4Config(checkpointConfig);
  const { pooling_kernel_size: pool, position_embedding_size: size } = config;
  return {
    modelType: "gemma4",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: 3,
    spatialMergeSize: pool,
    dims: { patches: pool ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 70, // vLLM's: the smallest supported max_soft_tokens
    maxGridSide: Math.min(size, MAX_GRID_SIDE),
    names: { prefixes: ["model.", ""] },
    buildGraph: ({ channelScale }) => buildGemma4Graph(config, channelScale),
    layout: (grid) =>
      rasterLayout(grid, pool, (positions) => {
        // x before y, for RoPE and for the two position tables.
        const places = positions.map((_, at) => positions[at ^ 1] as number);
        return {
          positions: places,
          tap_rows: places.map((place, at) => (at % 2 === 0 ? place : size + place)),
          tap_weights: new Float32Array(places.length).fill(1),
        };
      }),
  };
}
