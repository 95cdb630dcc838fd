/**
 * The Qwen3-VL vision tower, as transformers' Qwen3VLVisionModel computes it: patches with learned positions, blocks
 * with two-dimensional RoPE, and mergers that turn merge² patches into a token. Deepstack mergers read the patches
 * after some of the blocks.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { BILINEAR_TAPS } from "../patch-tables.js";
import { activationOf } from "../vision-config.js";
import type { Qwen3VLVisionConfig } from "./config.js";

/** transformers' LayerNorm epsilon in this tower, without a config key. */
const EPSILON = 1e-6;

export function buildQwen3VLGraph(config: Qwen3VLVisionConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_heads: heads, spatial_merge_size: merge } = config;
  const { in_channels: channels, temporal_patch_size: temporal, patch_size: patchSize } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal, patchSize }, channelScale);
  const positions = g.positions();
  const segments = g.segments("cu_seqlens");
  const rotation = { positions, angles: g.ropeAngles(hidden / heads, config.rope_theta) };

  const attention = (x: ValueId, name: string) => {
    const attended = g.attention(x, name, `${name}.qkv`, { heads, segments, rotation });
    return g.linear(attended, `${name}.proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.linear_fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.linear_fc2`, hidden);
  };
  // The last merger normalises patches and then merges them; deepstack mergers first merge and then normalise.
  const merger = (x: ValueId, name: string, order: "norm-first" | "merge-first") => {
    const norm = (value: ValueId) => g.layernorm(value, `${name}.norm`, EPSILON);
    const rows =
      order === "norm-first" ? g.mergeRows(norm(x), merge, name) : norm(g.mergeRows(x, merge, name));
    const wide = g.linear(rows, `${name}.linear_fc1`, hidden * merge ** 2);
    return g.linear(
      g.activation(wide, `${name}.act`, "gelu_erf"),
      `${name}.linear_fc2`,
      config.out_hidden_size,
    );
  };

  const embedded = g.linear(pixels, "patch_embed.proj", hidden, {
    shape: [hidden, channels, temporal, patchSize, patchSize],
  });
  const table = g.weight("pos_embed.weight", [config.num_position_embeddings, hidden]);
  let x = g.sum(embedded, g.interpolate(table, BILINEAR_TAPS, "pos_embed"), "embeddings");
  const deepstack: ValueId[] = [];
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    const attended = attention(g.layernorm(x, `${block}.norm1`, EPSILON), `${block}.attn`);
    x = g.sum(x, attended, `${block}.attn.residual`);
    x = g.sum(x, mlp(g.layernorm(x, `${block}.norm2`, EPSILON), `${block}.mlp`), `${block}.mlp.residual`);
    const level = config.deepstack_visual_indexes.indexOf(layer);
    // transformers appends the features in layer order, even if the list has another order.
    if (level >= 0) deepstack.push(merger(x, `deepstack_merger_list.${level}`, "merge-first"));
  }
  return g.build([merger(x, "merger", "norm-first"), ...deepstack]);
}
