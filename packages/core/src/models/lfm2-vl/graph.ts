/**
 * LFM2-VL's vision tower and projector, as transformers' Siglip2VisionModel and Lfm2VlMultiModalProjector compute them: SigLIP's
 * encoder over images of any size, with a position table that is resized with antialias, and an MLP over merged
 * patches.
 */
import type { Graph } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { type AntialiasedTable, BILINEAR_TAPS } from "../patch-tables.js";
import { siglipEncoder } from "../siglip.js";
import { activationOf } from "../vision-config.js";
import type { Lfm2VLConfig } from "./config.js";

/** torch's default, used by the projector's layer norm. */
const PROJECTOR_EPSILON = 1e-5;

export function buildLfm2VLGraph(
  config: Lfm2VLConfig,
  { axis }: AntialiasedTable,
  channelScale: Float32Array,
): Graph {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize } = config;
  const { layer_norm_eps: epsilon, projector_bias: bias } = config;
  const tower = "vision_tower.vision_model";
  const embeddings = `${tower}.embeddings`;
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize, channelsLast: true }, channelScale);
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden);
  const table = g.weight(`${embeddings}.position_embedding.weight`, [axis.length ** 2, hidden], {
    stored: [config.num_patches, hidden],
    resampled: { axis },
  });
  const positions = g.interpolate(table, BILINEAR_TAPS, `${embeddings}.position_embedding`);
  const encoded = siglipEncoder(g, g.sum(patches, positions, embeddings), config, {
    name: tower,
    segments: g.segments("cu_seqlens"),
  });
  const projector = "multi_modal_projector";
  const normed = g.layernorm(encoded, `${tower}.post_layernorm`, epsilon);
  const merged = g.mergeRows(normed, config.downsample_factor, projector);
  const rows = config.projector_use_layernorm
    ? g.layernorm(merged, `${projector}.layer_norm`, PROJECTOR_EPSILON)
    : merged;
  const widths = [config.projector_hidden_size, config.text_hidden_size] as const;
  return g.build([g.mlp(rows, projector, widths, activationOf(config.projector_hidden_act), { bias })]);
}
