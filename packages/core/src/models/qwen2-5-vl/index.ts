/** Qwen2.5-VL, Qwen2.5-Omni's thinker and EXAONE 4.5, which share a tower: config reader, graph, windows. */
import { MAX_GRID_SIDE, type PackedProjection } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { QWEN2_VL_IMAGES, QWEN2_VL_VIDEOS } from "../qwen2-vl/preprocess.js";
import { objectIn, refuseOther, visionConfigOf } from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { windowLayout } from "../window-layout.js";
import { readQwen2_5VLVisionConfig } from "./config.js";
import { buildQwen2_5VLGraph } from "./graph.js";

/** Names of the tower's tensors in checkpoints. */
interface Tensors {
  readonly prefixes: readonly string[];
  readonly projection: (layer: string) => PackedProjection;
  /** Keys and values have fewer heads than queries. */
  readonly grouped?: boolean;
}

const QWEN2_5_VL_TENSORS: Tensors = {
  prefixes: ["visual.", "model.visual."],
  projection: (layer) => `${layer}.qkv`,
};

const QWEN2_5_OMNI_TENSORS: Tensors = {
  prefixes: ["thinker.visual.", "visual."],
  projection: (layer) => [`${layer}.q`, `${layer}.k`, `${layer}.v`],
};

const EXAONE4_5_TENSORS: Tensors = {
  ...QWEN2_5_VL_TENSORS,
  prefixes: ["model.visual.", "visual."],
  grouped: true,
};

export const qwen2_5VL: ModelFamily = {
  create: (config) => createQwen2_5VL(visionConfigOf(config), "qwen2_5_vl", QWEN2_5_VL_TENSORS),
  images: QWEN2_VL_IMAGES,
  videos: QWEN2_VL_VIDEOS,
};

export const qwen2_5OmniThinker: ModelFamily = {
  ...qwen2_5VL,
  create(config) {
    const thinker = objectIn(config, "thinker_config", "thinker_config");
    const visionConfig = visionConfigOf(thinker, "thinker_config.");
    return createQwen2_5VL(visionConfig, "qwen2_5_omni", QWEN2_5_OMNI_TENSORS);
  },
};

export const exaone4_5: ModelFamily = {
  ...qwen2_5VL,
  create(config) {
    const visionConfig = visionConfigOf(config);
    refuseOther("vision_config.model_type", visionConfig.model_type, "exaone4_5_vision");
    return createQwen2_5VL(visionConfig, "exaone4_5", EXAONE4_5_TENSORS);
  },
};

function createQwen2_5VL(
  visionConfig: Readonly<Record<string, unknown>>,
  modelType: string,
  tensors: Tensors,
): VisionModel {
  const config = readQwen2_5VLVisionConfig(visionConfig, tensors);
  const { patch_size: patchSize, spatial_merge_size: merge } = config;
  const windowTokens = Math.floor(config.window_size / merge / patchSize);
  return {
    modelType,
    config,
    patchSize,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.in_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1, windows: 1 },
    outputColumns: [config.out_hidden_size],
    minTokenBudget: 64, // vLLM's for the Qwen-VL families
    maxGridSide: MAX_GRID_SIDE,
    names: { prefixes: tensors.prefixes },
    buildGraph: ({ channelScale }) => buildQwen2_5VLGraph(config, tensors.projection, channelScale),
    layout: (grid) => windowLayout(grid, merge, windowTokens),
  };
}
