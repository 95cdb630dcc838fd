/**
 * HunyuanOCR's vision tower, as transformers' HunYuanVLVisionTransformer computes it: patches with learned positions, layers of
 * attention over the whole image, two convolutions that turn merge² patches into a token, and learned rows: a newline
 * after each row of tokens, and one row each at the begin and end of the image.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { BILINEAR_TAPS } from "../patch-tables.js";
import { activationOf } from "../vision-config.js";
import type { HunyuanConfig } from "./config.js";

export function buildHunyuanGraph(config: HunyuanConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, rms_norm_eps: epsilon } = config;
  const { num_channels: channels, patch_size: patchSize, spatial_merge_size: merge } = config;
  const { out_hidden_size: columns } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");

  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    return g.linear(g.attention(x, name, parts, { heads, segments }), `${name}.o_proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.dense_h_to_4h`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.dense_4h_to_h`, hidden);
  };

  const patches = g.linear(pixels, "embeddings.patch_embedding", hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  // The table's first row belongs to a class row, which this tower does not have.
  const table = g.weight("embeddings.position_embedding.weight", [config.side ** 2 + 1, hidden]);
  let x = g.sum(patches, g.interpolate(table, BILINEAR_TAPS, "embeddings.position_embedding"), "embeddings");
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `layers.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.input_layernorm`, epsilon), `${layer}.self_attn`);
    x = g.sum(x, attended, `${layer}.self_attn.residual`);
    const widened = mlp(g.layernorm(x, `${layer}.post_attention_layernorm`, epsilon), `${layer}.mlp`);
    x = g.sum(x, widened, `${layer}.mlp.residual`);
  }
  const merged = g.mergeRows(g.rmsnorm(x, "perceive.before_rms", epsilon), merge, "perceive", "merged");
  const convolved = g.patchConvolution(merged, "perceive.proj.0", 2 * hidden, merge);
  const wide = g.linear(g.activation(convolved, "perceive.act", "gelu_erf"), "perceive.proj.2", 4 * hidden, {
    shape: [4 * hidden, 2 * hidden, 1, 1],
  });
  const newline = g.weight("perceive.image_newline", [1, 4 * hidden], { stored: [4 * hidden] });
  const lines = g.linear(g.withLearnedTokens(wide, newline, "perceive.lines"), "perceive.mlp", columns);
  const ends = g.weight("perceive.ends", [2, columns], {
    parts: ["perceive.image_begin", "perceive.image_end"],
    stored: [2 * columns],
  });
  const rows = g.orderTokens(lines, ends, "perceive.rows");
  return g.build([g.rmsnorm(rows, "perceive.after_rms", epsilon)]);
}
