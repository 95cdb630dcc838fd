/**
 * Idefics3's vision tower and connector, as transformers' Idefics3VisionTransformer and Idefics3Connector compute them: SigLIP's
 * encoder over tiles with learned positions, and a projection of scale_factor² patches to a token.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import type { Idefics3Config } from "./config.js";

export function buildIdefics3Graph(config: Idefics3Config, channelScale: Float32Array): Graph {
  const tower = "vision_model";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const encoded = siglipEncoder(g, placed, config, {
    name: tower,
    segments: g.segments("cu_seqlens"),
  });
  const connector = "connector.modality_projection";
  const normed = g.layernorm(encoded, `${tower}.post_layernorm`, config.layer_norm_eps);
  const merged = g.mergeRows(normed, config.scale_factor, connector);
  return g.build([g.linear(merged, `${connector}.proj`, config.text_hidden_size, { bias: false })]);
}
