/** Step-3.7-Flash and Step3-VL-10B: config reader, graph, layout, processor. Weights keep the hub's names. */
import { MAX_GRID_SIDE } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { KERNEL_ROWS, type VisionModel } from "../vision-model.js";
import { MERGE, readStepConfig } from "./config.js";
import { buildStepGraph } from "./graph.js";
import { stepLayout } from "./layout.js";
import { STEP_IMAGES } from "./preprocess.js";

export const step3p7: ModelFamily = {
  create: (config) => createStep(config, "step3p7"),
  images: STEP_IMAGES,
};

/** Step3-VL-10B. */
export const stepRobotics: ModelFamily = {
  create: (config) => createStep(config, "step_robotics"),
  images: STEP_IMAGES,
};

function createStep(checkpointConfig: Readonly<Record<string, unknown>>, modelType: string): VisionModel {
  const config = readStepConfig(checkpointConfig);
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: 1,
    channels: config.num_channels,
    spatialMergeSize: MERGE,
    dims: {
      patches: MERGE ** 2,
      patch_kernel_rows: (MERGE / 2) ** 2 * KERNEL_ROWS,
      merged: (MERGE / 2) ** 2,
      merged_kernel_rows: KERNEL_ROWS,
      tokens: 1,
      segments: 1,
    },
    outputColumns: [config.text_hidden_size],
    minTokenBudget: (config.side / MERGE) ** 2, // vLLM's: the tokens of an image without tiles
    maxGridSide: MAX_GRID_SIDE,
    tiled: true,
    twoGrids: true,
    names: { prefixes: ["", "model."], renamed: [[/\.in_proj\./, ".in_proj_"]] },
    buildGraph: ({ channelScale }) => buildStepGraph(config, channelScale),
    layout: (grid) => stepLayout(grid, config.side),
  };
}
