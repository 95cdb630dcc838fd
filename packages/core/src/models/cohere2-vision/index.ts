/** Command A Vision and Aya Vision: config reader, graph, layout, processors. Every image is tiled. */
import type { ModelFamily } from "../model-family.js";
import { rasterLayout } from "../raster-layout.js";
import { squareTiles } from "../square-tiles.js";
import type { VisionModel } from "../vision-model.js";
import { type Cohere2VisionModelType, readCohere2VisionConfig } from "./config.js";
import { buildCohere2VisionGraph } from "./graph.js";
import { AYA_VISION_IMAGES, COHERE2_VISION_IMAGES } from "./preprocess.js";

export const cohere2Vision: ModelFamily = {
  create: (config) => createCohere2Vision(config, "cohere2_vision"),
  images: COHERE2_VISION_IMAGES,
};

export const ayaVision: ModelFamily = {
  create: (config) => createCohere2Vision(config, "aya_vision"),
  images: AYA_VISION_IMAGES,
};

function createCohere2Vision(
  checkpointConfig: Readonly<Record<string, unknown>>,
  modelType: Cohere2VisionModelType,
): VisionModel {
  const config = readCohere2VisionConfig(checkpointConfig, modelType);
  const { side, merge } = config;
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    ...squareTiles(side, merge),
    outputColumns: [config.text_hidden_size],
    tiled: true,
    names: { prefixes: modelType === "aya_vision" ? ["", "model."] : ["model.", ""] },
    buildGraph: ({ channelScale }) => buildCohere2VisionGraph(config, channelScale),
    layout: (grid) => rasterLayout(grid, merge),
  };
}
