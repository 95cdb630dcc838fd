/**
 * PaddleOCR-VL's vision tower and projector, as transformers' PaddleOCRVisionModel and PaddleOCRProjector compute them:
 * SigLIP's encoder with learned positions and two-dimensional RoPE, and a merger.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { BILINEAR_TAPS } from "../patch-tables.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import type { PaddleOCRConfig } from "./config.js";

/** transformers' epsilon of the projector's norm, without a config key. */
const PROJECTOR_EPSILON = 1e-5;

export function buildPaddleOCRGraph(config: PaddleOCRConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const { spatial_merge_size: merge } = config;
  const tower = "visual.vision_model";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale, BILINEAR_TAPS);
  const encoded = siglipEncoder(g, placed, config, {
    name: tower,
    segments: g.segments("cu_seqlens"),
    rotation: { positions: g.positions(), angles: g.ropeAngles(hidden / heads, config.rope_theta) },
  });
  const normed = g.layernorm(encoded, `${tower}.post_layernorm`, epsilon);
  const projector = "mlp_AR";
  const rows = g.mergeRows(g.layernorm(normed, `${projector}.pre_norm`, PROJECTOR_EPSILON), merge, projector);
  return g.build([g.mlp(rows, projector, [hidden * merge ** 2, config.text_hidden_size], "gelu_erf")]);
}
