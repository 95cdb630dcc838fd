/**
 * LLaVA-NeXT (LLaVA 1.6), LLaVA-NeXT-Video and Granite Vision 3: config reader, graph, layout, processors. Every image
 * is tiled.
 */
import { type Anyres, tileCount } from "../anyres.js";
import { anyresLayout, anyresRows } from "../anyres-layout.js";
import { withClassRows } from "../class-row.js";
import type { ModelFamily } from "../model-family.js";
import { offsetTapRows, pairMeanTaps } from "../patch-tables.js";
import { squareTiles } from "../square-tiles.js";
import { refuseOther } from "../vision-config.js";
import type { GridLayout, VisionModel } from "../vision-model.js";
import { readLlavaNextConfig } from "./config.js";
import { buildLlavaNextGraph } from "./graph.js";
import { LLAVA_NEXT_IMAGES, LLAVA_NEXT_VIDEO_SIZES, LLAVA_NEXT_VIDEOS } from "./preprocess.js";

export const llavaNext: ModelFamily = { create: createLlavaNext, images: LLAVA_NEXT_IMAGES };

export const llavaNextVideo: ModelFamily = {
  create(config) {
    refuseOther("spatial_pool_mode", config.spatial_pool_mode, "average");
    refuseOther("spatial_pool_stride", config.spatial_pool_stride, 2);
    return createLlavaNext(config, true);
  },
  images: LLAVA_NEXT_IMAGES,
  videos: LLAVA_NEXT_VIDEOS,
  videoSizes: LLAVA_NEXT_VIDEO_SIZES,
};

function createLlavaNext(
  checkpointConfig: Readonly<Record<string, unknown>>,
  takesClips = false,
): VisionModel {
  const config = readLlavaNextConfig(checkpointConfig);
  const { side, image_grid_pinpoints: pinpoints, image_size: tile, hasClassRow } = config;
  const clips = takesClips && { clips: { axis: pairMeanTaps(side), newline: false } };
  const anyres: Anyres = { pinpoints, tile, side, ...clips };
  const patches = side ** 2;
  return {
    modelType: takesClips ? "llava_next_video" : "llava_next",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, 1, hasClassRow),
    outputColumns: [config.text_hidden_size],
    minTokenBudget: patches + 1, // a tile, and the newline after it
    tiled: true,
    tilesOf: (imageSize) => tileCount(imageSize, anyres),
    takesClips,
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
