/** Qwen2.5-VL, and the same tower in Qwen2.5-Omni's thinker: config reader and graph. Most blocks attend within windows. */
import type { Graph, ValueId } from "../../graph/graph.js";
import { rowsOf } from "../../graph/ops.js";
import { MAX_GRID_SIDE, type PackedProjection, TowerBuilder } from "../layers.js";
import type { ModelFamily } from "../model-family.js";
import { QWEN2_VL_IMAGES, QWEN2_VL_VIDEOS } from "../qwen2-vl/preprocess.js";
import {
  activationOf,
  checkHeads,
  checkLayers,
  checkPatch,
  objectIn,
  readRopeTheta,
  readVisionConfig,
  visionConfigOf,
  wrongConfig,
} from "../vision-config.js";
import { MODEL_INPUTS, type VisionModel } from "../vision-model.js";
import { windowLayout } from "./windows.js";

/** Names and defaults as in transformers' Qwen2_5_VLVisionConfig. */
const DEFAULTS = {
  depth: 32,
  hidden_size: 3584,
  hidden_act: "silu",
  intermediate_size: 3420,
  num_heads: 16,
  in_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
  window_size: 112,
  out_hidden_size: 3584,
  fullatt_block_indexes: [7, 15, 23, 31],
};

type Config = ReturnType<typeof readConfig>;

/** Where checkpoints keep the tower, and what they call the projection of an attention layer. */
interface Tensors {
  readonly prefixes: readonly string[];
  readonly projection: (layer: string) => PackedProjection;
}

const QWEN2_5_VL_TENSORS: Tensors = {
  prefixes: ["visual.", "model.visual."],
  projection: (layer) => `${layer}.qkv`,
};

const QWEN2_5_OMNI_TENSORS: Tensors = {
  prefixes: ["thinker.visual.", "visual."],
  projection: (layer) => [`${layer}.q`, `${layer}.k`, `${layer}.v`],
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

function createQwen2_5VL(
  visionConfig: Readonly<Record<string, unknown>>,
  modelType: string,
  tensors: Tensors,
): VisionModel {
  const config = readConfig(visionConfig);
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
    buildGraph: ({ channelScale }) => buildGraph(config, tensors, channelScale),
    layout: (grid) => windowLayout(grid, merge, windowTokens),
  };
}

function readConfig(visionConfig: Readonly<Record<string, unknown>>) {
  const config = { ...readVisionConfig(visionConfig, DEFAULTS), rope_theta: readRopeTheta(visionConfig) };
  checkHeads(config.hidden_size, "hidden_size", config.num_heads);
  checkPatch(config.in_channels, config.patch_size);
  const { window_size, patch_size, spatial_merge_size } = config;
  if (window_size < patch_size * spatial_merge_size)
    throw wrongConfig("window_size", window_size, "at least the pixels along one side of a token");
  checkLayers("fullatt_block_indexes", config.fullatt_block_indexes, Number.POSITIVE_INFINITY);
  return config;
}

/** transformers' RMSNorm epsilon in this tower; no key of the config sets it. */
const EPSILON = 1e-6;

/** As transformers' Qwen2_5_VisionTransformerPretrainedModel. */
function buildGraph(config: Config, { projection }: Tensors, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_heads: heads, spatial_merge_size: merge } = config;
  const { in_channels: channels, temporal_patch_size: temporal, patch_size: patchSize } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal, patchSize }, channelScale);
  const rotation = { positions: g.positions(), angles: g.ropeAngles(hidden / heads, config.rope_theta) };
  const frames = g.segments("cu_seqlens");
  const windows = g.segments("cu_window_seqlens");
  const tokenOrder = g.input(MODEL_INPUTS.tokenOrder, { element: "i32", rows: rowsOf("tokens"), columns: 1 });

  const attention = (x: ValueId, name: string, segments: ValueId) => {
    const attended = g.attention(x, name, projection(name), { heads, segments, rotation });
    return g.linear(attended, `${name}.proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const gate = g.linear(x, `${name}.gate_proj`, config.intermediate_size);
    const up = g.linear(x, `${name}.up_proj`, config.intermediate_size);
    const gated = g.add("gate", [gate, up], { function: activation }, `${name}.act`);
    return g.linear(gated, `${name}.down_proj`, hidden);
  };

  let x = g.linear(pixels, "patch_embed.proj", hidden, {
    bias: false,
    shape: [hidden, channels, temporal, patchSize, patchSize],
  });
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    const segments = config.fullatt_block_indexes.includes(layer) ? frames : windows;
    const attended = attention(g.rmsnorm(x, `${block}.norm1`, EPSILON), `${block}.attn`, segments);
    x = g.sum(x, attended, `${block}.attn.residual`);
    x = g.sum(x, mlp(g.rmsnorm(x, `${block}.norm2`, EPSILON), `${block}.mlp`), `${block}.mlp.residual`);
  }
  const rows = g.mergeRows(g.rmsnorm(x, "merger.ln_q", EPSILON), merge, "merger");
  const wide = g.linear(rows, "merger.mlp.0", hidden * merge ** 2);
  const merged = g.linear(
    g.activation(wide, "merger.act", "gelu_erf"),
    "merger.mlp.2",
    config.out_hidden_size,
  );
  return g.build([g.add("gather_rows", [merged, tokenOrder], {}, "merger.token_order")]);
}
