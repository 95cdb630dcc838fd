/**
 * The vision tower of dots.ocr, as the checkpoint's DotsVisionTransformer computes it: normed patches, blocks with
 * two-dimensional RoPE and gated MLPs, one more norm, and Qwen2-VL's merger.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import type { DotsVisionConfig } from "./config.js";

/** Constants in the checkpoint's code, without a config key. */
const ROPE_THETA = 10_000;
const MERGER_EPSILON = 1e-6;

export function buildDotsGraph(config: DotsVisionConfig, channelScale: Float32Array): Graph {
  const { embed_dim: width, num_attention_heads: heads, rms_norm_eps: epsilon, use_bias: bias } = config;
  const { num_channels: channels, patch_size: patchSize, spatial_merge_size: merge } = config;
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(width / heads, ROPE_THETA) };

  const attention = (x: ValueId, name: string) => {
    const attended = g.attention(x, name, `${name}.qkv`, { heads, segments, rotation, bias });
    return g.linear(attended, `${name}.proj`, width, { bias });
  };
  const mlp = (x: ValueId, name: string) => g.gatedMlp(x, name, config.intermediate_size, "silu", { bias });

  const embedding = "patch_embed.patchifier";
  const patches = g.linear(pixels, `${embedding}.proj`, width, {
    shape: [width, channels, patchSize, patchSize],
  });
  let x = g.rmsnorm(patches, `${embedding}.norm`, epsilon);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `blocks.${layer}`;
    const attended = attention(g.rmsnorm(x, `${block}.norm1`, epsilon), `${block}.attn`);
    x = g.sum(x, attended, `${block}.attn.residual`);
    x = g.sum(x, mlp(g.rmsnorm(x, `${block}.norm2`, epsilon), `${block}.mlp`), `${block}.mlp.residual`);
  }
  if (config.post_norm) x = g.rmsnorm(x, "post_trunk_norm", epsilon);
  return g.build([g.merger(g.layernorm(x, "merger.ln_q", MERGER_EPSILON), merge, config.hidden_size)]);
}
