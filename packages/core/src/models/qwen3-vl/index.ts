/** Qwen3-VL: config reader, graph, layout. Weights keep transformers' names. */
import { describe, VitgraphError } from "@vitgraph/errors";
import type { Activation } from "../../graph/ops.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { VisionModel } from "../vision-model.js";
import { readQwen3VLVisionConfig } from "./config.js";
import { buildQwen3VLGraph, MAX_GRID_SIDE } from "./graph.js";

/** transformers' names of activation functions. */
const ACTIVATION_NAMES: Readonly<Record<string, Activation>> = {
  gelu_pytorch_tanh: "gelu_tanh",
  gelu: "gelu_erf",
  quick_gelu: "quick_gelu",
  silu: "silu",
};

/** vLLM's smallest automatic budget for the Qwen-VL family. */
const MIN_TOKEN_BUDGET = 64;

/** How a checkpoint names the tower's tensors. */
export interface TensorNames {
  readonly prefixes: readonly string[];
  /** Patterns of Qwen3-VL's names, each with the replacement that gives the checkpoint's. */
  readonly renamed: readonly (readonly [pattern: RegExp, replacement: string])[];
}

const QWEN3_VL_NAMES: TensorNames = { prefixes: ["model.visual.", "visual."], renamed: [] };

export function createQwen3VL(
  visionConfig: Readonly<Record<string, unknown>>,
  modelType = "qwen3_vl",
  { prefixes, renamed }: TensorNames = QWEN3_VL_NAMES,
): VisionModel {
  const config = readQwen3VLVisionConfig(visionConfig);
  const activation = ACTIVATION_NAMES[config.hidden_act];
  if (activation === undefined) {
    throw new VitgraphError(
      "VG_MODEL_UNSUPPORTED",
      `vision_config.hidden_act is ${describe(config.hidden_act)}`,
      {
        remedy: `supported are ${Object.keys(ACTIVATION_NAMES).join(", ")}`,
      },
    );
  }
  return {
    modelType,
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.in_channels,
    spatialMergeSize: config.spatial_merge_size,
    outputColumns: [
      config.out_hidden_size,
      ...config.deepstack_visual_indexes.map(() => config.out_hidden_size),
    ],
    minTokenBudget: MIN_TOKEN_BUDGET,
    maxGridSide: MAX_GRID_SIDE,
    weightPrefixes: prefixes,
    storedName: (tensor) =>
      renamed.reduce((name, [pattern, replacement]) => name.replace(pattern, replacement), tensor),
    buildGraph: ({ channelScale }) => buildQwen3VLGraph(config, activation, channelScale),
    layout: (grid) => mergeBlockLayout(grid, config.spatial_merge_size),
  };
}
