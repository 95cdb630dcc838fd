/** Qwen2-VL: config reader and graph. Its width is `embed_dim`; `hidden_size` is the language model's. */
import type { Graph, ValueId } from "../../graph/graph.js";
import { MAX_GRID_SIDE, TowerBuilder } from "../layers.js";
import { mergeBlockLayout } from "../merge-block-layout.js";
import type { ModelFamily } from "../model-family.js";
import {
  activationOf,
  checkHeads,
  checkPatch,
  readRopeTheta,
  readVisionConfig,
  visionConfigOf,
} from "../vision-config.js";
import type { VisionModel } from "../vision-model.js";
import { QWEN2_VL_IMAGES, QWEN2_VL_VIDEOS } from "./preprocess.js";

/** Names and defaults as in transformers' Qwen2VLVisionConfig. */
const DEFAULTS = {
  depth: 32,
  embed_dim: 1280,
  hidden_size: 3584,
  hidden_act: "quick_gelu",
  mlp_ratio: 4,
  num_heads: 16,
  in_channels: 3,
  patch_size: 14,
  spatial_merge_size: 2,
  temporal_patch_size: 2,
};

type Config = ReturnType<typeof readConfig>;

export const qwen2VL: ModelFamily = {
  create: (config) => createQwen2VL(visionConfigOf(config)),
  images: QWEN2_VL_IMAGES,
  videos: QWEN2_VL_VIDEOS,
};

function createQwen2VL(visionConfig: Readonly<Record<string, unknown>>): VisionModel {
  const config = readConfig(visionConfig);
  const merge = config.spatial_merge_size;
  return {
    modelType: "qwen2_vl",
    config,
    patchSize: config.patch_size,
    temporalPatchSize: config.temporal_patch_size,
    channels: config.in_channels,
    spatialMergeSize: merge,
    dims: { patches: merge ** 2, tokens: 1, segments: 1 },
    outputColumns: [config.hidden_size],
    minTokenBudget: 64, // vLLM's for the Qwen-VL families
    maxGridSide: MAX_GRID_SIDE,
    names: { prefixes: ["visual.", "model.visual."] },
    buildGraph: ({ channelScale }) => buildGraph(config, channelScale),
    layout: (grid) => mergeBlockLayout(grid, merge),
  };
}

function readConfig(visionConfig: Readonly<Record<string, unknown>>) {
  const config = { ...readVisionConfig(visionConfig, DEFAULTS), rope_theta: readRopeTheta(visionConfig) };
  checkHeads(config.embed_dim, "embed_dim", config.num_heads);
  checkPatch(config.in_channels, config.patch_size);
  return config;
}

/** transformers' LayerNorm epsilon in this tower; no key of the config sets it. */
const EPSILON = 1e-6;

/** As transformers' Qwen2VisionTransformerPretrainedModel: no learned positions, and no bias on the patches. */
function buildGraph(config: Config, channelScale: Float32Array): Graph {
  const { embed_dim: width, num_heads: heads, spatial_merge_size: merge } = config;
  const { in_channels: channels, temporal_patch_size: temporal, patch_size: patchSize } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(width / heads, config.rope_theta) };

  const attention = (x: ValueId, name: string) => {
    const attended = g.attention(x, name, `${name}.qkv`, { heads, segments, rotation });
    return g.linear(attended, `${name}.proj`, width);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, width * config.mlp_ratio);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, width);
  };

  let x = g.linear(pixels, "patch_embed.proj", width, {
    bias: false,
    shape: [width, channels, temporal, patchSize, patchSize],
  });
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    const attended = attention(g.layernorm(x, `${block}.norm1`, EPSILON), `${block}.attn`);
    x = g.sum(x, attended, `${block}.attn.residual`);
    x = g.sum(x, mlp(g.layernorm(x, `${block}.norm2`, EPSILON), `${block}.mlp`), `${block}.mlp.residual`);
  }
  const rows = g.mergeRows(g.layernorm(x, "merger.ln_q", EPSILON), merge, "merger");
  const wide = g.linear(rows, "merger.mlp.0", width * merge ** 2);
  return g.build([
    g.linear(g.activation(wide, "merger.act", "gelu_erf"), "merger.mlp.2", config.hidden_size),
  ]);
}
