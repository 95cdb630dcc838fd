/**
 * MiniCPM-V 4.6's vision tower and merger, as transformers' MiniCPMV4_6VisionModel and MiniCPMV4_6Merger compute them: SigLIP's
 * encoder over images of any size. After one of its layers, patches attend within windows of 2 × 2, and each window is
 * merged into one row, so that the remaining layers run over a quarter of the rows. At the end, 2 × 2 of these rows are
 * merged into a token.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import type { MiniCPMConfig } from "./config.js";

/** Epsilon of the merger's layer norm, without a config key. */
const MERGER_EPSILON = 1e-6;

export function buildMiniCPMGraph(config: MiniCPMConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, layer_norm_eps: epsilon, num_attention_heads: heads, layersBefore } = config;
  const tower = "vision_tower";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const early = siglipEncoder(g, placed, config, {
    name: tower,
    end: layersBefore,
    segments: g.segments("cu_seqlens"),
  });
  const late = siglipEncoder(g, mergedWindows(early), config, {
    name: tower,
    first: layersBefore,
    segments: g.segments("cu_merged_seqlens"),
  });
  const merger = "merger.mlp.0";
  const normed = g.layernorm(late, `${tower}.post_layernorm`, epsilon);
  const rows = g.layernorm(g.mergeRows(normed, 2, merger), `${merger}.pre_norm`, MERGER_EPSILON);
  return g.build([g.mlp(rows, merger, [4 * hidden, config.text_hidden_size], "gelu_erf")]);

  /** One row per window: the sum of an MLP over its patches and of their mean. */
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
    const normed = g.layernorm(windows, `${name}.pre_norm`, epsilon);
    const mixed = g.mlp(normed, name, [4 * config.intermediate_size, hidden], "gelu_tanh");
    const mean = g.add("mean_groups", [windows], { groups: 4 }, `${name}.mean`);
    return g.sum(mean, mixed, `${name}.residual`);
  }
}
