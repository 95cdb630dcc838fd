/** MiniMax-M3: config reader, graph, layout, processors. Weights keep the hub's names. */
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import { visionConfigOf } from "../vision-config.js";
import { chunksOf, type TensorNames, type VisionModel } from "../vision-model.js";
import { readMiniMaxM3Config } from "./config.js";
import { buildMiniMaxM3Graph } from "./graph.js";
import { MINIMAX_M3_IMAGES, MINIMAX_M3_VIDEO_SIZES, MINIMAX_M3_VIDEOS } from "./preprocess.js";
import { framePositions, MAX_SIDE } from "./rope.js";

export const miniMaxM3: ModelFamily = {
  create: createMiniMaxM3,
  images: MINIMAX_M3_IMAGES,
  videos: MINIMAX_M3_VIDEOS,
  videoSizes: MINIMAX_M3_VIDEO_SIZES,
};

const HUB: TensorNames = { prefixes: ["", "model."] };

/** transformers 5 renames the language model's experts when it saves, and with them the tower's MLP. */
const SAVED: TensorNames = {
  ...HUB,
  renamed: [[/(?<=^vision_tower\.vision_model\.encoder\.layers\.\d+\.)mlp\./, "block_sparse_moe."]],
};

function createMiniMaxM3(checkpointConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readMiniMaxM3Config(checkpointConfig);
  const merge = config.spatial_merge_size;
  const frames = config.vision_segment_max_frames;
  const isSaved = visionConfigOf(checkpointConfig).model_type === "minimax_m3_vl_vision";
  return {
    modelType: "minimax_m3_vl",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.num_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM's
    maxGridSide: MAX_SIDE,
    chunkFrames: frames,
    names: isSaved ? SAVED : HUB,
    buildGraph: ({ channelScale }) => buildMiniMaxM3Graph(config, channelScale),
    layout: (grid) => ({
      ...mergeBlockLayout(grid, merge, () => ({ positions: framePositions(grid, merge, frames) })),
      segments: { cu_seqlens: chunksOf(grid, frames).map((count) => count * grid.h * grid.w) },
    }),
  };
}
