/** LLaVA-NeXT (LLaVA 1.6) and Granite Vision 3: config reader, graph, layout, processor. Every image is tiled. */
import { type Anyres, tileCount } from "../anyres.js";
import { anyresLayout, anyresRows } from "../anyres-layout.js";
import { withClassRows } from "../class-row.js";
import type { ModelFamily } from "../model-family.js";
import { offsetTapRows } from "../patch-tables.js";
import type { GridLayout, VisionModel } from "../vision-model.js";
import { readLlavaNextConfig } from "./config.js";
import { buildLlavaNextGraph } from "./graph.js";
import { LLAVA_NEXT_IMAGES } from "./preprocess.js";

export const llavaNext: ModelFamily = { create: createLlavaNext, images: LLAVA_NEXT_IMAGES };

function createLlavaNext(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readLlavaNextConfig(checkpointConfig);
  const { side, image_grid_pinpoints: pinpoints, image_size: tile, hasClassRow } = config;
  const anyres: Anyres = { pinpoints, tile, side };
  const patches = side ** 2;
  return {
    modelType: "llava_next",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: 1,
    // A tile is one segment; a program for n tokens has capacity for n patches.
    dims: { patches: 1, tokens: 1, segments: 1 / patches, ...(hasClassRow && { rows: 1 + 1 / patches }) },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: patches + 1, // vLLM infers none for this model; a batch has at least one tile
    maxGridSide: side,
    fixedGrid: { t: 1, h: side, w: side },
    tiled: true,
    tilesOf: (imageSize) => tileCount(imageSize, anyres),
    tokensOf: (grid) => anyresRows(grid, anyres),
    names: { prefixes: ["", "model."] },
    imageSettings: { tokensOf: (grid) => anyresRows(grid, anyres) },
    buildGraph: ({ channelScale }) => buildLlavaNextGraph(config, channelScale),
    layout(grid): GridLayout {
      const layout = anyresLayout(grid, anyres);
      if (!hasClassRow) return layout;
      // The class row is the first of the position table.
      return withClassRows(grid, { ...layout, patchTables: () => offsetTapRows(layout.patchTables(), 1) });
    },
  };
}
