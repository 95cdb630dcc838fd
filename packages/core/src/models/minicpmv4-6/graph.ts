/**
 * MiniCPM-V 4.6's vision tower and merger, as transformers' MiniCPMV4_6VisionModel and MiniCPMV4_6Merger compute them: SigLIP's
 * encoder over images of any size; after one of its layers attention within windows of 2 × 2 patches and a merge of each window
 * into one row, so that the other layers run over a quarter of the rows; and a merge of 2 × 2 of these at the end.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { MiniCPMConfig } from "./config.js";

/** In the merger's layer norm; no key of the config sets it. */
const MERGER_EPSILON = 1e-6;

export function buildMiniCPMGraph(config: MiniCPMConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize, side } = config;
  const { layer_norm_eps: epsilon, num_attention_heads: heads, layersBefore } = config;
  const tower = "vision_tower";
  const embeddings = `${tower}.embeddings`;
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const table = g.weight(`${embeddings}.position_embedding.weight`, [side ** 2, hidden]);
  const positions = g.interpolate(table, 1, `${embeddings}.position_embedding`);
  const layers = {
    name: tower,
    heads,
    intermediate: config.intermediate_size,
    activation: activationOf(config.hidden_act),
    epsilon,
  };
  const early = siglipEncoder(g, g.sum(patches, positions, embeddings), {
    ...layers,
    layers: layersBefore,
    segments: g.segments("cu_seqlens"),
  });
  const late = siglipEncoder(g, mergedWindows(early), {
    ...layers,
    first: layersBefore,
    layers: config.num_hidden_layers,
    segments: g.segments("cu_merged_seqlens"),
  });
  const merger = "merger.mlp.0";
  const normed = g.layernorm(late, `${tower}.post_layernorm`, epsilon);
  const rows = g.layernorm(g.mergeRows(normed, 2, merger), `${merger}.pre_norm`, MERGER_EPSILON);
  const wide = g.linear(rows, `${merger}.linear_1`, 4 * hidden);
  const activated = g.activation(wide, `${merger}.act`, "gelu_erf");
  return g.build([g.linear(activated, `${merger}.linear_2`, config.text_hidden_size)]);

  /** A row for each window: an MLP over its patches, and their mean. */
  function mergedWindows(x: ValueId): ValueId {
    const name = `${tower}.vit_merger`;
    const attention = `${name}.self_attn`;
    const parts = [`${attention}.q_proj`, `${attention}.k_proj`, `${attention}.v_proj`] as const;
    const segments = g.segments("cu_window_seqlens");
    const attended = g.attention(g.layernorm(x, `${name}.layer_norm1`, epsilon), attention, parts, {
      heads,
      segments,
    });
    const projected = g.linear(attended, `${attention}.out_proj`, hidden);
    const windows = g.mergeRows(g.sum(x, projected, `${attention}.residual`), 2, name, "merged");
    const wide = g.linear(
      g.layernorm(windows, `${name}.pre_norm`, epsilon),
      `${name}.linear_1`,
      4 * config.intermediate_size,
    );
    const activated = g.activation(wide, `${name}.act`, "gelu_tanh");
    const mean = g.add("mean_groups", [windows], { groups: 4 }, `${name}.mean`);
    return g.sum(mean, g.linear(activated, `${name}.linear_2`, hidden), `${name}.residual`);
  }
}
