/** Llama 4: config reader, graph, layout, processor. */
import type { Grid } from "../../item.js";
import { withRotatedClassRows } from "../class-row.js";
import { mergeBlockPositions } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import { squareTiles } from "../square-tiles.js";
import type { GridLayout, VisionModel } from "../vision-model.js";
import { readLlama4Config } from "./config.js";
import { buildLlama4Graph } from "./graph.js";
import { LLAMA4_IMAGES } from "./preprocess.js";

export const llama4: ModelFamily = { create: createLlama4, images: LLAMA4_IMAGES };

function createLlama4(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readLlama4Config(checkpointConfig);
  const { side, merge } = config;
  return {
    modelType: "llama4",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, merge, true),
    outputColumns: [config.text_hidden_size],
    tiled: true,
    names: { prefixes: ["", "model."] },
    buildGraph: ({ channelScale }) => buildLlama4Graph(config, channelScale),
    layout: (grid) => rotatedLayout(grid, merge),
  };
}

/** The class row has position 0, the identity of RoPE. Positions of patches start at 1, column before row. */
function rotatedLayout(grid: Grid, merge: number): GridLayout {
  const places = mergeBlockPositions(grid, merge);
  const positions = places.map((_, at) => (places[at ^ 1] as number) + 1);
  return withRotatedClassRows(grid, rasterLayout(grid, merge), positions, [0, 0]);
}
