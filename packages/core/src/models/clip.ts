/**
 * The rows that CLIP's encoder starts with, as transformers' CLIPVisionModel computes them: a class row before the
 * patches of each image, learned positions, and a norm. The encoder is `siglipEncoder`.
 */
import type { ValueId } from "../graph/graph.js";
import type { TowerBuilder } from "./layers.js";
import type { SiglipPatchConfig } from "./siglip.js";

/** transformers' names. */
export interface ClipRowConfig extends SiglipPatchConfig {
  readonly layer_norm_eps: number;
}

/**
 * Requires a layout with class rows, whose taps count from the second row of the position table.
 * @param tower the prefix of `embeddings`
 */
export function clipRows(
  g: TowerBuilder,
  config: ClipRowConfig,
  tower: string,
  channelScale: Float32Array,
): ValueId {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize, side } = config;
  const embeddings = `${tower}.embeddings`;
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
  return g.layernorm(rows, `${tower}.pre_layrnorm`, config.layer_norm_eps);
}
