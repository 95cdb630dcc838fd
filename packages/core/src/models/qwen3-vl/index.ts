/** Qwen3-VL: config reader, graph, layout. Weights keep transformers' names. */
import { VitgraphError } from "@vitgraph/errors";
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

export function createQwen3VL(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readQwen3VLVisionConfig(visionConfig);
  const activation = ACTIVATION_NAMES[config.hidden_act];
  if (activation === undefined) {
    throw new VitgraphError("VG_MODEL_UNSUPPORTED", `vision_config.hidden_act is ${config.hidden_act}`, {
      remedy: `supported are ${Object.keys(ACTIVATION_NAMES).join(", ")}`,
    });
  }
  return {
    modelType: "qwen3_vl",
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
    weightPrefixes: ["model.visual.", "visual."],
    buildGraph: ({ channelScale }) => buildQwen3VLGraph(config, activation, channelScale),
    layout: (grid) => mergeBlockLayout(grid, config.spatial_merge_size),
  };
}
