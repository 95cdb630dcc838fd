/**
 * LLaVA 1.5: config reader, graph, layout, processor. Pixtral's checkpoints have LLaVA's model_type too; the tower's
 * model_type distinguishes them.
 */
import { withClassRows } from "../class-row.js";
import type { ModelFamily } from "../model-family.js";
import { offsetTapRows } from "../patch-tables.js";
import { pixtral } from "../pixtral/index.js";
import { rasterLayout, tapsOfCells } from "../raster-layout.js";
import { visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { readLlavaConfig } from "./config.js";
import { buildLlavaGraph } from "./graph.js";
import { LLAVA_IMAGES } from "./preprocess.js";

export const llava: ModelFamily = {
  create: (config) =>
    visionConfigOf(config).model_type === "pixtral" ? pixtral.create(config) : createLlava(config),
  images: LLAVA_IMAGES,
};

function createLlava(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readLlavaConfig(checkpointConfig);
  const { side } = config;
  const tokens = side ** 2;
  return {
    modelType: "llava",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: 1,
    dims: { patches: 1, tokens: 1, segments: 1 / tokens, rows: 1 + 1 / tokens },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: tokens, // vLLM infers none for this model; a batch has at least one image
    maxGridSide: side,
    maxFrames: 1,
    fixedGrid: { t: 1, h: side, w: side },
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildLlavaGraph(config, channelScale),
    layout: (grid) =>
      withClassRows(
        grid,
        rasterLayout(grid, 1, (positions) => offsetTapRows(tapsOfCells(positions, grid), 1)),
      ),
  };
}
