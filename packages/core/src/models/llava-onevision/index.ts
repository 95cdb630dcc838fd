/**
 * LLaVA-OneVision: config reader, graph, layout, processors. Each image is tiled, as transformers does for single-image
 * prompts.
 */
import { type Anyres, tileCount } from "../anyres.js";
import { anyresLayout, anyresRows } from "../anyres-layout.js";
import type { ModelFamily } from "../model-family.js";
import { centredTaps } from "../patch-tables.js";
import { squareTiles } from "../square-tiles.js";
import type { VisionModel } from "../vision-model.js";
import { readLlavaOnevisionConfig } from "./config.js";
import { buildLlavaOnevisionGraph } from "./graph.js";
import {
  LLAVA_ONEVISION_IMAGES,
  LLAVA_ONEVISION_VIDEO_CLASS,
  LLAVA_ONEVISION_VIDEO_SIZES,
  LLAVA_ONEVISION_VIDEOS,
} from "./preprocess.js";

export const llavaOnevision: ModelFamily = {
  create: createLlavaOnevision,
  images: LLAVA_ONEVISION_IMAGES,
  videos: LLAVA_ONEVISION_VIDEOS,
  videosOfClass: LLAVA_ONEVISION_VIDEO_CLASS,
  videoSizes: LLAVA_ONEVISION_VIDEO_SIZES,
};

function createLlavaOnevision(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readLlavaOnevisionConfig(checkpointConfig);
  const { side, image_grid_pinpoints: pinpoints, image_size: tile, maxTiles } = config;
  // The rows of a frame are scaled to a quarter.
  const clips = { axis: centredTaps(Math.ceil(side / 2), side), newline: true };
  const anyres: Anyres = { pinpoints, tile, side, maxTiles, clips };
  return {
    modelType: "llava_onevision",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, 1),
    outputColumns: [config.text_hidden_size],
    minTokenBudget: side ** 2 + 1, // a tile, and the newline after it
    tiled: true,
    tilesOf: (imageSize) => tileCount(imageSize, anyres),
    takesClips: true,
    tokensOf: (grid) => anyresRows(grid, anyres),
    names: { prefixes: ["", "model."] },
    imageSettings: { tokensOf: (grid) => anyresRows(grid, anyres) },
    buildGraph: ({ channelScale }) => buildLlavaOnevisionGraph(config, channelScale),
    layout: (grid) => anyresLayout(grid, anyres),
  };
}
