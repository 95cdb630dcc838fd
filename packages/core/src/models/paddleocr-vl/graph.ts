/**
 * PaddleOCR-VL's vision tower and projector, as transformers' PaddleOCRVisionModel and PaddleOCRProjector compute them:
 * SigLIP's encoder with two-dimensional rotary positions beside the learned ones, and a merger.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { BILINEAR_TAPS } from "../patch-tables.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { PaddleOCRConfig } from "./config.js";

/** transformers' epsilon of the projector's norm; no key of the config sets it. */
const PROJECTOR_EPSILON = 1e-5;

export function buildPaddleOCRGraph(config: PaddleOCRConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const { num_channels: channels, patch_size: patchSize, spatial_merge_size: merge } = config;
  const tower = "visual.vision_model";
  const embeddings = `${tower}.embeddings`;
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const table = g.weight(`${embeddings}.position_embedding.weight`, [config.side ** 2, hidden]);
  const positions = g.interpolate(table, BILINEAR_TAPS, `${embeddings}.position_embedding`);
  const encoded = siglipEncoder(g, g.sum(patches, positions, embeddings), {
    name: tower,
    layers: config.num_hidden_layers,
    heads,
    intermediate: config.intermediate_size,
    activation: activationOf(config.hidden_act),
    epsilon,
    segments: g.segments("cu_seqlens"),
    rotation: { positions: g.positions(), angles: g.ropeAngles(hidden / heads, config.rope_theta) },
  });
  const normed = g.layernorm(encoded, `${tower}.post_layernorm`, epsilon);
  const projector = "mlp_AR";
  const rows = g.mergeRows(g.layernorm(normed, `${projector}.pre_norm`, PROJECTOR_EPSILON), merge, projector);
  const wide = g.linear(rows, `${projector}.linear_1`, hidden * merge ** 2);
  const activated = g.activation(wide, `${projector}.act`, "gelu_erf");
  return g.build([g.linear(activated, `${projector}.linear_2`, config.text_hidden_size)]);
}
