/**
 * LLaVA 1.5: config reader, graph, layout, processor. Pixtral's checkpoints have LLaVA's model_type too; the tower's
 * model_type distinguishes them.
 */
import { withClassRows } from "../class-row.js";
import type { ModelFamily } from "../model-family.js";
import { offsetTapRows } from "../patch-tables.js";
import { pixtral } from "../pixtral/index.js";
import { rasterLayout, tapsOfCells } from "../raster-layout.js";
import { squareTiles } from "../square-tiles.js";
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
  return {
    modelType: "llava",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, 1, true),
    outputColumns: [config.text_hidden_size],
    maxFrames: 1,
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildLlavaGraph(config, channelScale),
    layout: (grid) =>
      withClassRows(
        grid,
        rasterLayout(grid, 1, (positions) => offsetTapRows(tapsOfCells(positions, grid), 1)),
      ),
  };
}
