/**
 * Idefics3's vision tower and connector, as transformers' Idefics3VisionTransformer and Idefics3Connector compute them: SigLIP's
 * encoder over tiles with learned positions, and a projection of scale_factor² patches to a token.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { Idefics3Config } from "./config.js";

export function buildIdefics3Graph(config: Idefics3Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize, side } = config;
  const { layer_norm_eps: epsilon } = config;
  const tower = "vision_model";
  const embeddings = `${tower}.embeddings`;
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const table = g.weight(`${embeddings}.position_embedding.weight`, [side ** 2, hidden]);
  const positions = g.interpolate(table, 1, `${embeddings}.position_embedding`);
  const encoded = siglipEncoder(g, g.sum(patches, positions, embeddings), {
    name: tower,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    intermediate: config.intermediate_size,
    activation: activationOf(config.hidden_act),
    epsilon,
    segments: g.segments("cu_seqlens"),
  });
  const connector = "connector.modality_projection";
  const normed = g.layernorm(encoded, `${tower}.post_layernorm`, epsilon);
  const merged = g.mergeRows(normed, config.scale_factor, connector);
  return g.build([g.linear(merged, `${connector}.proj`, config.text_hidden_size, { bias: false })]);
}
