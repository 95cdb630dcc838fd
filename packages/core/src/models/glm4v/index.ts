/** GLM-4.1V, 4.5V and 4.6V, which share a tower, GLM-OCR and GLM-5.3: config reader, graph, layout, processor. */
import { MAX_GRID_SIDE } from "../layers.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { bicubicTaps } from "../patch-tables.js";
import { visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { type Glm4vVariant, readGlm4vVisionConfig } from "./config.js";
import { buildGlm4vGraph } from "./graph.js";
import {
  GLM4V_IMAGES,
  GLM4V_VIDEOS,
  GLM5_NEXT_IMAGES,
  GLM5_NEXT_VIDEO_SIZES,
  GLM5_NEXT_VIDEOS,
  GLM46V_VIDEOS,
} from "./preprocess.js";

/** GLM-4.1V, and GLM-4.5V with a mixture-of-experts language model. */
export const glm4v: ModelFamily = {
  create: (config) => createGlm4v(visionConfigOf(config), "glm4v"),
  images: GLM4V_IMAGES,
  videos: GLM4V_VIDEOS,
};

/** GLM-4.6V, which samples clips by another rule. */
export const glm46V: ModelFamily = {
  create: (config) => ({ ...glm4v.create(config), modelType: "glm46v" }),
  images: GLM4V_IMAGES,
  videos: GLM46V_VIDEOS,
};

export const glmOCR: ModelFamily = {
  create: (config) => createGlm4v(visionConfigOf(config), "glm_ocr"),
  images: GLM4V_IMAGES,
  videos: GLM46V_VIDEOS,
};

export const glm5Next: ModelFamily = {
  create: (config) => createGlm4v(visionConfigOf(config), "glm5_next"),
  images: GLM5_NEXT_IMAGES,
  videos: GLM5_NEXT_VIDEOS,
  videoSizes: GLM5_NEXT_VIDEO_SIZES,
};

function createGlm4v(visionConfig: Readonly<Record<string, unknown>>, modelType: Glm4vVariant): VisionModel {
  const config = readGlm4vVisionConfig(visionConfig, modelType);
  const merge = config.spatial_merge_size;
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.in_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.out_hidden_size],
    minTokenBudget: 64, // vLLM's
    maxGridSide: MAX_GRID_SIDE,
    names: { prefixes: ["model.visual.", "visual."] },
    buildGraph: ({ channelScale }) => buildGlm4vGraph(config, channelScale),
    layout: (grid) =>
      mergeBlockLayout(grid, merge, (positions) => ({
        positions,
        ...(config.ocr ? {} : bicubicTaps(positions, grid, config.side)),
      })),
  };
}
