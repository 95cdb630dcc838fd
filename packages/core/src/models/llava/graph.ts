/**
 * LLaVA 1.5's vision tower and projector, as transformers' CLIPVisionModel and LlavaMultiModalProjector compute them: a class row
 * before the patches, CLIP's encoder without its last layers, and an MLP over the patches.
 */
import type { Graph } from "../../graph/graph.js";
import { clipRows } from "../clip.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { LlavaConfig } from "./config.js";

export function buildLlavaGraph(config: LlavaConfig, channelScale: Float32Array): Graph {
  const { multimodal_projector_bias: bias } = config;
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const encoded = siglipEncoder(g, clipRows(g, config, tower, channelScale), config, {
    name: tower,
    end: config.layers,
    segments: g.segments("cu_seqlens"),
  });
  const projector = "multi_modal_projector";
  const features = g.mergeRows(g.patchesOf(encoded, `${projector}.patches`), 1, projector);
  const widths = [config.text_hidden_size, config.text_hidden_size] as const;
  return g.build([g.mlp(features, projector, widths, activationOf(config.projector_hidden_act), { bias })]);
}
