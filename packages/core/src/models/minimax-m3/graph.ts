/**
 * MiniMax-M3's vision tower and projector, as vLLM's MiniMaxVLVisionModel computes them: CLIP's encoder with RoPE by frame,
 * row and column, an MLP for each patch, and an MLP over merged patches. transformers 5.17 has another RoPE.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { MiniMaxM3Config } from "./config.js";
import { frameRopeAngles, headPlaces } from "./rope.js";

export function buildMiniMaxM3Graph(config: MiniMaxM3Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_channels: channels, temporal_patch_size: temporal } = config;
  const { patch_size: patchSize, spatial_merge_size: merge, layer_norm_eps: epsilon } = config;
  const headSize = hidden / config.num_attention_heads;
  const widths = [config.projector_hidden_size, config.text_hidden_size] as const;
  const activation = activationOf(config.projector_hidden_act);
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal, patchSize }, channelScale);
  const patches = g.linear(pixels, `${tower}.embeddings.patch_embedding`, hidden, {
    bias: false,
    shape: [hidden, channels, temporal, patchSize, patchSize],
  });
  const angles = frameRopeAngles(headSize, config.rope_theta, config.vision_segment_max_frames);
  const encoded = siglipEncoder(g, g.layernorm(patches, `${tower}.pre_layrnorm`, epsilon), config, {
    name: tower,
    segments: g.segments("cu_seqlens"),
    rotation: { positions: g.positions(), angles: g.constant("rope_angles", headSize / 2, angles) },
    headOrder: { sides: [headSize], axes: [0], places: { axis: 0, order: headPlaces(headSize) } },
  });
  const projected = g.mlp(encoded, "multi_modal_projector", widths, activation);
  const merger = "patch_merge_mlp";
  return g.build([g.mlp(g.mergeRows(projected, merge, merger), merger, widths, activation)]);
}
