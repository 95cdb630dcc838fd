/**
 * PaliGemma's vision tower and projector, as transformers' SiglipVisionModel and PaliGemmaMultiModalProjector compute
 * them: SigLIP, and a product with each patch.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import type { PaliGemmaConfig } from "./config.js";

export function buildPaliGemmaGraph(config: PaliGemmaConfig, channelScale: Float32Array): Graph {
  const tower = "vision_tower.vision_model";
  const projector = "multi_modal_projector";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const x = siglipEncoder(g, placed, config, { name: tower, segments: g.segments("cu_seqlens") });
  const normed = g.layernorm(x, `${tower}.post_layernorm`, config.layer_norm_eps);
  const tokens = g.mergeRows(normed, 1, projector);
  return g.build([g.linear(tokens, `${projector}.linear`, config.projection_dim)]);
}
