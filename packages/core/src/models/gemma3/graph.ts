/**
 * Gemma 3's vision tower and projector, as transformers' SiglipVisionModel and Gemma3MultiModalProjector compute them: patches
 * with learned positions, SigLIP's encoder, the mean of k × k patches, a norm and a projection to the language model's width.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import type { Gemma3Config } from "./config.js";

export function buildGemma3Graph(config: Gemma3Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, layer_norm_eps: epsilon, merge, text_hidden_size: columns } = config;
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const x = siglipEncoder(g, placed, config, {
    name: tower,
    segments: g.segments("cu_seqlens"),
  });
  const normed = g.layernorm(x, `${tower}.post_layernorm`, epsilon);
  const projector = "multi_modal_projector";
  const merged = g.mergeRows(normed, merge, projector);
  const mean = g.add("mean_groups", [merged], { groups: merge ** 2 }, `${projector}.mean`);
  // The checkpoint stores w for a scale of 1 + w, and a transposed projection.
  const scaled = g.rmsnorm(mean, `${projector}.mm_soft_emb_norm`, epsilon, 1);
  const projection = g.weight(`${projector}.mm_input_projection_weight`, [columns, hidden], {
    transposed: true,
  });
  return g.build([g.add("linear", [scaled, projection, null, null], { activation: "none" }, projector)]);
}
