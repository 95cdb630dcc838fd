/** Idefics3, SmolVLM and Granite-Docling: config reader, graph, layout, processors. Weights keep transformers' names. */
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import { squareTiles } from "../square-tiles.js";
import type { VisionModel } from "../vision-model.js";
import { readIdefics3Config } from "./config.js";
import { buildIdefics3Graph } from "./graph.js";
import { IDEFICS3_IMAGES, SMOLVLM_VIDEO_SIZES, SMOLVLM_VIDEOS } from "./preprocess.js";

export const idefics3: ModelFamily = {
  create: (config) => createIdefics3(config, "idefics3"),
  images: IDEFICS3_IMAGES,
};

export const smolVLM: ModelFamily = {
  create: (config) => createIdefics3(config, "smolvlm"),
  images: IDEFICS3_IMAGES,
  videos: SMOLVLM_VIDEOS,
  videoSizes: SMOLVLM_VIDEO_SIZES,
};

function createIdefics3(checkpointConfig: Readonly<Record<string, unknown>>, modelType: string): VisionModel {
  const config = readIdefics3Config(checkpointConfig);
  const { side, scale_factor: merge } = config;
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, merge),
    outputColumns: [config.text_hidden_size],
    tiled: true,
    names: { prefixes: ["model.", ""] },
    buildGraph: ({ channelScale }) => buildIdefics3Graph(config, channelScale),
    // transformers computes position indices by float32 buckets. For whole tiles of all published sizes, the index of a
    // patch is its own position.
    layout: (grid) => rasterLayout(grid, merge),
  };
}
