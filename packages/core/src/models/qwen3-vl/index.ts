/** Qwen3-VL, and the towers of Qwen3.5 and Qwen3-Omni's thinker, which differ in names and defaults. */
import { MAX_GRID_SIDE } from "../layers.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { bilinearTaps } from "../patch-tables.js";
import { objectIn, visionConfigOf } from "../vision-config.js";
import type { TensorNames, VisionModel } from "../vision-model.js";
import { readQwen3VLVisionConfig } from "./config.js";
import { buildQwen3VLGraph } from "./graph.js";
import { QWEN3_OMNI_IMAGES, QWEN3_OMNI_VIDEOS, QWEN3_VL_IMAGES, QWEN3_VL_VIDEOS } from "./preprocess.js";

/** vLLM's smallest automatic budget for the Qwen-VL family. */
const MIN_TOKEN_BUDGET = 64;

const QWEN3_VL_NAMES: TensorNames = { prefixes: ["model.visual.", "visual."] };

const QWEN3_OMNI_NAMES: TensorNames = {
  prefixes: ["thinker.visual.", "visual."],
  renamed: [
    [/^deepstack_merger_list\./, "merger_list."],
    [/^(merger|merger_list\.\d+)\.norm\./, "$1.ln_q."],
    [/^(merger|merger_list\.\d+)\.linear_fc1\./, "$1.mlp.0."],
    [/^(merger|merger_list\.\d+)\.linear_fc2\./, "$1.mlp.2."],
  ],
};

/** Qwen3-VL, with dense and mixture-of-experts language models. */
export const qwen3VL: ModelFamily = {
  create: (config) => createQwen3VL(visionConfigOf(config), "qwen3_vl", QWEN3_VL_NAMES),
  images: QWEN3_VL_IMAGES,
  videos: QWEN3_VL_VIDEOS,
};

/** An absent list of deepstack layers means none. */
export const qwen3_5: ModelFamily = {
  ...qwen3VL,
  create(config) {
    const vision = visionConfigOf(config);
    const deepstack_visual_indexes = vision.deepstack_visual_indexes ?? [];
    return createQwen3VL({ ...vision, deepstack_visual_indexes }, "qwen3_5", QWEN3_VL_NAMES);
  },
};

export const qwen3OmniThinker: ModelFamily = {
  create(config) {
    const thinker = objectIn(config, "thinker_config", "thinker_config");
    return createQwen3VL(visionConfigOf(thinker, "thinker_config."), "qwen3_omni_moe", QWEN3_OMNI_NAMES);
  },
  images: QWEN3_OMNI_IMAGES,
  videos: QWEN3_OMNI_VIDEOS,
};

function createQwen3VL(
  visionConfig: Readonly<Record<string, unknown>>,
  modelType: string,
  names: TensorNames,
): VisionModel {
  const config = readQwen3VLVisionConfig(visionConfig);
  const { out_hidden_size, deepstack_visual_indexes, spatial_merge_size: merge } = config;
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.in_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [out_hidden_size, ...deepstack_visual_indexes.map(() => out_hidden_size)],
    minTokenBudget: MIN_TOKEN_BUDGET,
    maxGridSide: MAX_GRID_SIDE,
    names,
    buildGraph: ({ channelScale }) => buildQwen3VLGraph(config, channelScale),
    layout: (grid) =>
      mergeBlockLayout(grid, merge, (positions) => ({
        positions,
        ...bilinearTaps(positions, grid, Math.sqrt(config.num_position_embeddings)),
      })),
  };
}
