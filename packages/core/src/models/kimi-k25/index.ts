/** Kimi-VL, Kimi-K2.5 and K2.6: config reader, graph, layout, processors. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import type { TensorNames, VisionModel } from "../vision-model.js";
import { readKimiConfig } from "./config.js";
import { buildKimiGraph } from "./graph.js";
import { CHUNK_FRAMES, clipLayout, stillLayout } from "./layout.js";
import { KIMI_IMAGES, KIMI_VIDEO_SIZES, KIMI_VIDEOS, KIMI_VL_IMAGES } from "./preprocess.js";

export const kimiK25: ModelFamily = {
  create: (config) =>
    createKimi(config, { modelType: "kimi_k25", names: { prefixes: ["", "model."] }, clips: true }),
  images: KIMI_IMAGES,
  videos: KIMI_VIDEOS,
  videoSizes: KIMI_VIDEO_SIZES,
};

const KIMI_VL_NAMES: TensorNames = {
  prefixes: [""],
  renamed: [
    [/^mm_projector\.proj\.0/, "multi_modal_projector.linear_1"],
    [/^mm_projector\.proj\.2/, "multi_modal_projector.linear_2"],
    [/^mm_projector\./, "multi_modal_projector."],
  ],
};

/** Kimi-VL's MoonViT: Kimi-K2.5's tower, only for stills. */
export const kimiVL: ModelFamily = {
  create: (config) => createKimi(config, { modelType: "kimi_vl", names: KIMI_VL_NAMES, clips: false }),
  images: KIMI_VL_IMAGES,
};

interface KimiOptions extends Pick<VisionModel, "modelType" | "names"> {
  /** Items may be clips; otherwise they are stills. */
  readonly clips: boolean;
}

function createKimi(
  checkpointConfig: Readonly<Record<string, unknown>>,
  { modelType, names, clips }: KimiOptions,
): VisionModel {
  const config = readKimiConfig(checkpointConfig);
  const { merge, pos_emb_height: side } = config;
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: 3,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1, ...(clips && { merged: merge ** 2 }) },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: 64, // vLLM's
    maxGridSide: MAX_GRID_SIDE,
    names,
    buildGraph: ({ channelScale }) => buildKimiGraph(config, channelScale, clips),
    ...(clips
      ? {
          chunkFrames: CHUNK_FRAMES,
          tokensOf: ({ t, h, w }) => (Math.ceil(t / CHUNK_FRAMES) * h * w) / merge ** 2,
          layout: (grid) => clipLayout(grid, { merge, side }),
        }
      : { maxFrames: 1, layout: (grid) => stillLayout(grid, { merge, side }) }),
  };
}
