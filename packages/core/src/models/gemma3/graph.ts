/**
 * Gemma 3's vision tower and projector, as transformers' SiglipVisionModel and Gemma3MultiModalProjector compute them: patches
 * with learned positions, SigLIP's encoder, the mean of k × k patches, a norm and a projection to the language model's width.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { Gemma3Config } from "./config.js";

export function buildGemma3Graph(config: Gemma3Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon, merge, side } = config;
  const { num_channels: channels, patch_size: patchSize, text_hidden_size: columns } = config;
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);

  const embeddings = `${tower}.embeddings`;
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const table = g.weight(`${embeddings}.position_embedding.weight`, [side ** 2, hidden]);
  const placed = g.sum(patches, g.interpolate(table, 1, `${embeddings}.position_embedding`), embeddings);
  const x = siglipEncoder(g, placed, {
    name: tower,
    layers: config.num_hidden_layers,
    heads,
    intermediate: config.intermediate_size,
    activation: activationOf(config.hidden_act),
    epsilon,
    segments: g.segments("cu_seqlens"),
  });
  const normed = g.layernorm(x, `${tower}.post_layernorm`, epsilon);
  const projector = "multi_modal_projector";
  const merged = g.mergeRows(normed, merge, projector);
  const mean = g.add("mean_groups", [merged], { groups: merge ** 2 }, `${projector}.mean`);
  // The checkpoint has w where the scale is 1 + w, and the projection's columns as rows.
  const scaled = g.rmsnorm(mean, `${projector}.mm_soft_emb_norm`, epsilon, 1);
  const projection = g.weight(`${projector}.mm_input_projection_weight`, [columns, hidden], {
    transposed: true,
  });
  return g.build([g.add("linear", [scaled, projection, null, null], { activation: "none" }, projector)]);
}
