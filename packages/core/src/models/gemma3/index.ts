/** Gemma 3 and T5Gemma 2: config reader, graph, layout, processor. Weights keep transformers' names. */
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import { objectIn } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { readGemma3Config } from "./config.js";
import { buildGemma3Graph } from "./graph.js";
import { GEMMA3_IMAGES } from "./preprocess.js";

export const gemma3: ModelFamily = {
  create: (config) => createGemma3(config, "gemma3", ["", "model."]),
  images: GEMMA3_IMAGES,
};

/** The language model's encoder has the tower, and its config the keys of Gemma 3. */
export const t5Gemma2: ModelFamily = {
  create(config) {
    const encoder = objectIn(config, "encoder", "encoder");
    return createGemma3(encoder, "t5gemma2", ["model.encoder.", "encoder."]);
  },
  images: GEMMA3_IMAGES,
};

function createGemma3(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: string,
  prefixes: readonly string[],
): VisionModel {
  const config = readGemma3Config(checkpointConfig);
  const { patch_size: patchSize, side, merge } = config;
  return {
    modelType,
    config,
    patchSize,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: config.mm_tokens_per_image,
    maxGridSide: side,
    maxFrames: 1,
    fixedGrid: { t: 1, h: side, w: side },
    names: { prefixes },
    buildGraph: ({ channelScale }) => buildGemma3Graph(config, channelScale),
    layout: (grid) => rasterLayout(grid, merge),
  };
}
