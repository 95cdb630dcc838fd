/**
 * The Qwen2-VL vision tower, as transformers' Qwen2VisionTransformerPretrainedModel computes it: blocks of attention with
 * two-dimensional rotary positions, no learned ones, and a merger that turns merge² patches into a token.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { Qwen2VLVisionConfig } from "./config.js";

/** transformers' LayerNorm epsilon in this tower; no key of the config sets it. */
const EPSILON = 1e-6;

export function buildQwen2VLGraph(config: Qwen2VLVisionConfig, channelScale: Float32Array): Graph {
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
  return g.build([g.merger(g.layernorm(x, "merger.ln_q", EPSILON), merge, config.hidden_size)]);
}
