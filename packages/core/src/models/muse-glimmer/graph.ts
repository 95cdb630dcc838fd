/**
 * Muse-Glimmer's vision tower, adapter and projection, as transformers' MuseGlimmerModel computes them: patches with
 * learned positions, ordered window by window; blocks that attend within windows or within a frame; and an MLP over
 * merged patches, in raster order. RoPE rotates the first half of a head's pairs by the patch's column, the other by its
 * row, both counted from 1.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { BILINEAR_TAPS } from "../patch-tables.js";
import { activationOf } from "../vision-config.js";
import { CHANNELS, type MuseGlimmerConfig } from "./config.js";

/** Of the norms of blocks, for which transformers ignores the config's `layer_norm_eps`. */
const BLOCK_EPSILON = 1e-5;

export function buildMuseGlimmerGraph(config: MuseGlimmerConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const { patch_size: patchSize, patch_temporal: temporal, merge_size: merge } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels: CHANNELS, temporal, patchSize }, channelScale);
  const rotation = { positions: g.positions(), angles: g.ropeAngles(hidden / heads, config.rope_theta) };
  const frames = g.segments("cu_seqlens");
  const windows = g.segments("cu_window_seqlens");

  const attention = (x: ValueId, name: string, segments: ValueId) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    return g.linear(g.attention(x, name, parts, { heads, segments, rotation }), `${name}.proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, hidden);
  };

  const tower = "vision_tower";
  const embedder = `${tower}.patch_embedder`;
  // The checkpoint's columns are [frame, channel, pixel].
  const patches = g.linear(pixels, `${embedder}.patch_embedding`, hidden, {
    bias: false,
    reordered: { sides: [hidden, temporal, CHANNELS, patchSize ** 2], axes: [0, 2, 1, 3] },
  });
  const cells = config.pos_emb_height * config.pos_emb_width;
  const table = g.weight(`${embedder}.position_embedding_table.weight`, [cells, hidden]);
  const placed = g.sum(patches, g.interpolate(table, BILINEAR_TAPS, `${embedder}.positions`), embedder);
  let x = g.layernorm(placed, `${tower}.ln_pre`, epsilon);
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `${tower}.layers.${index}`;
    const segments = config.full_attention_layers.includes(index) ? frames : windows;
    const attended = attention(g.layernorm(x, `${layer}.norm1`, BLOCK_EPSILON), `${layer}.attn`, segments);
    x = g.sum(x, attended, `${layer}.attn.residual`);
    x = g.sum(
      x,
      mlp(g.layernorm(x, `${layer}.norm2`, BLOCK_EPSILON), `${layer}.mlp`),
      `${layer}.mlp.residual`,
    );
  }
  const adapter = "vision_adapter";
  const width = config.projector_hidden_size;
  const adapterActivation = activationOf(config.projector_hidden_act);
  const merged = g.mergeRows(g.layernorm(x, `${tower}.ln_post`, epsilon), merge, adapter);
  // The checkpoint's columns are [channel, row, column of the merged patches].
  const shape = [width, hidden * merge ** 2];
  const wide = g.patchConvolution(merged, `${adapter}.fc1`, width, merge, { bias: false, shape });
  const inner = g.linear(
    g.activation(wide, `${adapter}.fc1.act`, adapterActivation),
    `${adapter}.fc2`,
    width,
    {
      bias: false,
    },
  );
  const adapted = g.activation(inner, `${adapter}.fc2.act`, adapterActivation);
  const projected = g.linear(adapted, "vision_projection", config.text_hidden_size, { bias: false });
  const norm = { groups: 1, epsilon: config.text_rms_norm_eps };
  const normed = g.add("rmsnorm_groups", [projected, null], norm, "perception_emb_norm");
  return g.build([g.inTokenOrder(normed, "vision_projection.token_order")]);
}
