/**
 * LLaVA-OneVision's vision tower and projector, as transformers' SiglipVisionModel and LlavaOnevisionModel compute them: SigLIP's
 * encoder without its last norm, an MLP over the patches, and the resized rows of the tiles' grid with newlines.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder, siglipPatches } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { LlavaOnevisionConfig } from "./config.js";

export function buildLlavaOnevisionGraph(config: LlavaOnevisionConfig, channelScale: Float32Array): Graph {
  const { multimodal_projector_bias: bias, text_hidden_size: columns } = config;
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const placed = siglipPatches(g, config, `${tower}.embeddings`, channelScale);
  const encoded = siglipEncoder(g, placed, config, {
    name: tower,
    end: config.layers,
    segments: g.segments("cu_seqlens"),
  });
  const projector = "multi_modal_projector";
  const activation = activationOf(config.projector_hidden_act);
  const projected = g.mlp(encoded, projector, [columns, columns], activation, { bias });
  const newline = g.weight("image_newline", [1, columns], { stored: [columns] });
  const shown = g.resampleRows(projected, "image_features");
  return g.build([g.orderTokens(shown, newline, "image_newline.rows")]);
}
