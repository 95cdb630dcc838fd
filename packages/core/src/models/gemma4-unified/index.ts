/** Gemma 4 12B, without a vision tower: config reader, graph, layout. The processors are those of Gemma 4. */
import { GEMMA4_IMAGES, GEMMA4_VIDEO_SIZES, GEMMA4_VIDEOS } from "../gemma4/preprocess.js";
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readGemma4UnifiedConfig } from "./config.js";
import { buildGemma4UnifiedGraph } from "./graph.js";

export const gemma4Unified: ModelFamily = {
  create: createGemma4Unified,
  images: GEMMA4_IMAGES,
  videos: GEMMA4_VIDEOS,
  videoSizes: GEMMA4_VIDEO_SIZES,
};

function createGemma4Unified(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readGemma4UnifiedConfig(checkpointConfig);
  return {
    modelType: "gemma4_unified",
    config,
    patchSize: config.model_patch_size,
    // The processor file states the patch size of the other models. The processor class joins these patches.
    processorPatchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: 3,
    spatialMergeSize: 1,
    dims: { patches: 1, tokens: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 70, // the smallest supported max_soft_tokens
    maxGridSide: Math.min(config.mm_posemb_size, MAX_GRID_SIDE),
    names: { prefixes: ["model.", ""] },
    buildGraph: ({ channelScale }) => buildGemma4UnifiedGraph(config, channelScale),
    layout: (grid) => ({
      ...rasterLayout(grid, 1, (positions) => ({
        // Table rows alternate between x and y; the tap of x comes first.
        tap_rows: positions.map((_, at) => 2 * (positions[at ^ 1] as number) + (at & 1)),
        tap_weights: new Float32Array(positions.length).fill(1),
      })),
      segments: {},
    }),
  };
}
