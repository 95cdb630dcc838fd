/**
 * The vision tower and projector of Kimi-K2.5, as transformers' Kimi_K25VisionModel computes them, and Kimi-VL's
 * MoonVitPretrainedModel and KimiVLMultiModalProjector: patches with learned positions, blocks with two-dimensional
 * RoPE, the mean of a chunk's frames, and a merger. RoPE rotates adjacent columns of a head. Pairs alternate between
 * the patch's column and row.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { headColumns, TowerBuilder } from "../layers.js";
import { BICUBIC_TAPS } from "../patch-tables.js";
import { activationOf } from "../vision-config.js";
import type { KimiConfig } from "./config.js";
import { CHUNK_FRAMES, frameSinusoids } from "./layout.js";

/** transformers' LayerNorm epsilon in this tower, without a config key. */
const EPSILON = 1e-5;

/** @param clips whether items may be clips, as in Kimi-K2.5 */
export function buildKimiGraph(config: KimiConfig, channelScale: Float32Array, clips: boolean): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, patch_size: patchSize, merge } = config;
  const headSize = hidden / heads;
  // [frequency, axis, element of a pair] → [element of a pair, axis, frequency]
  const headOrder = { sides: [headSize / 4, 2, 2], axes: [2, 1, 0] };
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels: 3, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(headSize, config.rope_theta) };

  const attention = (x: ValueId, block: string) => {
    const attended = g.attention(x, block, `${block}.wqkv`, { heads, segments, rotation, headOrder });
    return g.linear(attended, `${block}.wo`, hidden, { reordered: headColumns(hidden, heads, headOrder) });
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc0`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc1`, hidden);
  };

  const embedding = "vision_tower.patch_embed";
  const patches = g.linear(pixels, `${embedding}.proj`, hidden, { shape: [hidden, 3, patchSize, patchSize] });
  const side = config.pos_emb_height;
  const frames = clips ? CHUNK_FRAMES : 0;
  const table = g.weight(`${embedding}.pos_emb.weight`, [side ** 2 + frames, hidden], {
    stored: [side, side, hidden],
    ...(clips && { appended: frameSinusoids(hidden) }),
  });
  const taps = BICUBIC_TAPS + (clips ? 1 : 0);
  let x = g.sum(patches, g.interpolate(table, taps, `${embedding}.pos_emb`), embedding);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `vision_tower.encoder.blocks.${layer}`;
    const attended = attention(g.layernorm(x, `${block}.norm0`, EPSILON), block);
    x = g.sum(x, attended, `${block}.attention.residual`);
    x = g.sum(x, mlp(g.layernorm(x, `${block}.norm1`, EPSILON), `${block}.mlp`), `${block}.mlp.residual`);
  }
  const normed = g.layernorm(x, "vision_tower.encoder.final_layernorm", EPSILON);
  const pooled = clips ? g.resampleRows(normed, "vision_tower.frames", "merged") : normed;
  const projector = "mm_projector";
  const prepared = g.layernorm(pooled, `${projector}.pre_norm`, config.projection_layer_norm_eps);
  const rows = g.mergeRows(prepared, merge, projector);
  const wide = g.linear(rows, `${projector}.proj.0`, hidden * merge ** 2);
  const activated = g.activation(wide, `${projector}.act`, "gelu_erf");
  return g.build([g.linear(activated, `${projector}.proj.2`, config.text_hidden_size)]);
}
