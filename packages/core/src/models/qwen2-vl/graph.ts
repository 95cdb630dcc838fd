/**
 * The Qwen2-VL vision tower, as transformers' Qwen2VisionTransformerPretrainedModel computes it: blocks with
 * two-dimensional RoPE and without learned positions, and a merger that turns merge² patches into a token.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { type PatchForm, TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { Qwen2VLVisionConfig } from "./config.js";

/** transformers' LayerNorm epsilon in this tower, without a config key. */
const EPSILON = 1e-6;

export function buildQwen2VLGraph(config: Qwen2VLVisionConfig, channelScale: Float32Array): Graph {
  const { embed_dim: width, in_channels: channels, temporal_patch_size: temporal, patch_size } = config;
  const g = new TowerBuilder();
  const patches = { channels, temporal, patchSize: patch_size };
  const tower = {
    ...config,
    width,
    mlpWidth: width * config.mlp_ratio,
    epsilon: EPSILON,
    patches,
    patchWeight: [width, channels, temporal, patch_size, patch_size],
  };
  const encoded = qwen2VLBlocks(g, "", tower, channelScale);
  const normed = g.layernorm(encoded, "merger.ln_q", EPSILON);
  return g.build([g.merger(normed, config.spatial_merge_size, config.hidden_size)]);
}

interface Qwen2VLBlocks {
  readonly width: number;
  readonly mlpWidth: number;
  readonly depth: number;
  readonly num_heads: number;
  readonly hidden_act: string;
  readonly rope_theta: number;
  readonly epsilon: number;
  readonly patches: PatchForm;
  /** The checkpoint's shape of the patch projection. */
  readonly patchWeight: readonly number[];
}

/** The patches after all blocks, before any norm or merger. @param prefix prefix of the tensor names */
export function qwen2VLBlocks(
  g: TowerBuilder,
  prefix: string,
  { width, mlpWidth, depth, num_heads: heads, hidden_act, rope_theta, epsilon, ...tower }: Qwen2VLBlocks,
  channelScale: Float32Array,
): ValueId {
  const activation = activationOf(hidden_act);
  const pixels = g.patches(tower.patches, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(width / heads, rope_theta) };

  const attention = (x: ValueId, name: string) => {
    const attended = g.attention(x, name, `${name}.qkv`, { heads, segments, rotation });
    return g.linear(attended, `${name}.proj`, width);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, mlpWidth);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, width);
  };

  let x = g.linear(pixels, `${prefix}patch_embed.proj`, width, { bias: false, shape: tower.patchWeight });
  for (let layer = 0; layer < depth; layer++) {
    const block = `${prefix}blocks.${layer}`;
    const attended = attention(g.layernorm(x, `${block}.norm1`, epsilon), `${block}.attn`);
    x = g.sum(x, attended, `${block}.attn.residual`);
    x = g.sum(x, mlp(g.layernorm(x, `${block}.norm2`, epsilon), `${block}.mlp`), `${block}.mlp.residual`);
  }
  return x;
}
