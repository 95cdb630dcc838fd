/**
 * The Qwen2.5-VL vision tower, as transformers' Qwen2_5_VisionTransformerPretrainedModel computes it: tokens are
 * ordered window by window, most blocks attend within windows and some within frames, and the merged tokens are
 * restored to raster order.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { type PackedProjection, TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { Qwen2_5VLVisionConfig } from "./config.js";

/** transformers' RMSNorm epsilon in this tower, without a config key. */
const EPSILON = 1e-6;

/** @param projection returns the checkpoint names of a layer's attention projection */
export function buildQwen2_5VLGraph(
  config: Qwen2_5VLVisionConfig,
  projection: (layer: string) => PackedProjection,
  channelScale: Float32Array,
): Graph {
  const { hidden_size: hidden, num_heads: heads, spatial_merge_size: merge } = config;
  const { num_key_value_heads: keyValueHeads } = config;
  const { in_channels: channels, temporal_patch_size: temporal, patch_size: patchSize } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal, patchSize }, channelScale);
  const rotation = { positions: g.positions(), angles: g.ropeAngles(hidden / heads, config.rope_theta) };
  const frames = g.segments("cu_seqlens");
  const windows = g.segments("cu_window_seqlens");

  const attention = (x: ValueId, name: string, segments: ValueId) => {
    const attended = g.attention(x, name, projection(name), { heads, keyValueHeads, segments, rotation });
    return g.linear(attended, `${name}.proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => g.gatedMlp(x, name, config.intermediate_size, activation);

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
  const merged = g.merger(g.rmsnorm(x, "merger.ln_q", EPSILON), merge, config.out_hidden_size);
  return g.build([g.inTokenOrder(merged, "merger.token_order")]);
}
