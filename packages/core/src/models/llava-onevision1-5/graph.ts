/**
 * LLaVA-OneVision-1.5's vision tower, as the checkpoint's RiceTransformerPretrainedModel computes it: a class row before the
 * patches of each image, blocks with two-dimensional RoPE, and Qwen2-VL's merger without the class rows. The RoPE
 * angles of the class row are learned.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { RiceConfig } from "./config.js";

/** Constants in the checkpoint's code, without a config key. */
const ROPE_THETA = 10_000;
const BLOCK_EPSILON = 1e-5;

export function buildRiceGraph(config: RiceConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_heads: heads, layer_norm_eps: epsilon } = config;
  const { in_channels: channels, patch_size: patchSize, spatial_merge_size: merge } = config;
  const headSize = hidden / heads;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const angles = g.learnedRopeAngles(headSize, ROPE_THETA, "class_pos_emb", [1, headSize / 2]);
  const rotation = { positions: g.rowPositions(), angles };

  const attention = (x: ValueId, name: string) => {
    const attended = g.attention(x, name, `${name}.qkv`, { heads, segments, rotation });
    return g.linear(attended, `${name}.proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, hidden);
  };

  const patches = g.linear(pixels, "patch_embed.proj", hidden, {
    bias: false,
    shape: [hidden, channels, patchSize, patchSize],
  });
  const classRow = g.weight("class_embedding", [1, hidden], { stored: [hidden] });
  let x = g.layernorm(g.withLearnedRows(patches, classRow, "patch_embed.rows"), "pre_layernorm", epsilon);
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    const attended = attention(g.layernorm(x, `${block}.norm1`, BLOCK_EPSILON), `${block}.attn`);
    x = g.sum(x, attended, `${block}.attn.residual`);
    const widened = mlp(g.layernorm(x, `${block}.norm2`, BLOCK_EPSILON), `${block}.mlp`);
    x = g.sum(x, widened, `${block}.mlp.residual`);
  }
  const normed = g.layernorm(g.patchesOf(x, "merger.patches"), "merger.ln_q", epsilon);
  return g.build([g.merger(normed, merge, config.text_hidden_size)]);
}
