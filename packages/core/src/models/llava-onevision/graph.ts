/**
 * LLaVA-OneVision's vision tower and projector, as transformers' SiglipVisionModel and LlavaOnevisionModel compute them: SigLIP's
 * encoder without its last norm, an MLP over the patches, and rows of the tiles' grid, resized, with newlines between them.
 */
import type { Graph } from "../../graph/graph.js";
import { rowsOf } from "../../graph/ops.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import { MODEL_INPUTS } from "../vision-model.js";
import type { LlavaOnevisionConfig } from "./config.js";

export function buildLlavaOnevisionGraph(config: LlavaOnevisionConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize, side } = config;
  const { multimodal_projector_bias: bias, text_hidden_size: columns } = config;
  const tower = "vision_tower.vision_model";
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
    layers: config.layers,
    heads: config.num_attention_heads,
    intermediate: config.intermediate_size,
    activation: activationOf(config.hidden_act),
    epsilon: config.layer_norm_eps,
    segments: g.segments("cu_seqlens"),
  });
  const projector = "multi_modal_projector";
  const wide = g.linear(encoded, `${projector}.linear_1`, columns, { bias });
  const activated = g.activation(wide, `${projector}.act`, activationOf(config.projector_hidden_act));
  const projected = g.linear(activated, `${projector}.linear_2`, columns, { bias });
  const newline = g.weight("image_newline", [1, columns], { stored: [columns] });
  const order = g.input(MODEL_INPUTS.tokenOrder, { element: "i32", rows: rowsOf("tokens"), columns: 1 });
  const shown = g.resampleRows(projected, "image_features");
  return g.build([g.add("assemble_rows", [shown, newline, order], {}, "image_newline.rows")]);
}
