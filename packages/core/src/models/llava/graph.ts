/**
 * LLaVA 1.5's vision tower and projector, as transformers' CLIPVisionModel and LlavaMultiModalProjector compute them: a class row
 * before the patches, CLIP's encoder without its last layers, and an MLP over the patches.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { LlavaConfig } from "./config.js";

export function buildLlavaGraph(config: LlavaConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize, side } = config;
  const { layer_norm_eps: epsilon, multimodal_projector_bias: bias } = config;
  const tower = "vision_tower.vision_model";
  const embeddings = `${tower}.embeddings`;
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    bias: false,
    shape: [hidden, channels, patchSize, patchSize],
  });
  const positions = `${embeddings}.position_embedding.weight`;
  const stored = [side ** 2 + 1, hidden];
  const table = g.weight(positions, stored);
  const classRow = g.weight(`${embeddings}.class_embedding`, [1, hidden], {
    stored: [hidden],
    plus: { tensor: positions, stored },
  });
  const placed = g.sum(patches, g.interpolate(table, 1, `${embeddings}.position_embedding`), embeddings);
  const rows = g.withLearnedRows(placed, classRow, `${embeddings}.rows`);
  const encoded = siglipEncoder(g, g.layernorm(rows, `${tower}.pre_layrnorm`, epsilon), config, {
    name: tower,
    end: config.layers,
    segments: g.segments("cu_seqlens"),
  });
  const projector = "multi_modal_projector";
  const features = g.mergeRows(g.patchesOf(encoded, `${projector}.patches`), 1, projector);
  const widths = [config.text_hidden_size, config.text_hidden_size] as const;
  return g.build([g.mlp(features, projector, widths, activationOf(config.projector_hidden_act), { bias })]);
}
