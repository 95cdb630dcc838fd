/**
 * Llama 4's vision tower and projector, as transformers' Llama4VisionModel and Llama4MultiModalProjector compute them: a class
 * row for each tile, learned positions and RoPE, and an MLP over merged patches. RoPE rotates adjacent columns of a
 * head: the first half of the pairs by the patch's column, the second by its row, both counted from 1. The class row is
 * not rotated.
 *
 * Heads of 88 columns are padded to 96, since the CUDA attention kernels do not support 88. It costs 3 % more
 * arithmetic in a layer's products.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { headColumns, TowerBuilder } from "../layers.js";
import type { Llama4Config } from "./config.js";

/** torch's default, used by all layer norms. transformers ignores the config's `norm_eps`. */
const EPSILON = 1e-5;

export function buildLlama4Graph(config: Llama4Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, num_channels: channels } = config;
  const { patch_size: patchSize, side, merge } = config;
  const headSize = hidden / heads;
  const quarter = headSize / 4;
  const paddedQuarter = Math.ceil(quarter / 8) * 8;
  // [axis, frequency, element of a pair] → [element of a pair, axis, frequency]
  const headOrder = { sides: [2, quarter, 2], axes: [2, 0, 1], padded: [2, 2, paddedQuarter] };
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = {
    positions: g.rowPositions(),
    angles: g.ropeAngles(headSize, config.rope_theta, 4 * paddedQuarter),
  };

  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    const scale = 1 / Math.sqrt(headSize);
    const attended = g.attention(x, name, parts, { heads, scale, segments, rotation, headOrder });
    return g.linear(attended, `${name}.o_proj`, hidden, {
      shape: [hidden, hidden],
      reordered: headColumns(hidden, heads, headOrder),
    });
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, "gelu_erf"), `${name}.fc2`, hidden);
  };

  const tower = "vision_model";
  const patches = g.linear(pixels, `${tower}.patch_embedding.linear`, hidden, { bias: false });
  const positions = `${tower}.positional_embedding_vlm`;
  // The last row of the table is the class row's position.
  const stored = [side ** 2 + 1, hidden];
  const table = g.weight(positions, stored);
  const classRow = g.weight(`${tower}.class_embedding`, [1, hidden], {
    stored: [hidden],
    plus: { tensor: positions, stored, first: side ** 2 * hidden },
  });
  const placed = g.sum(patches, g.interpolate(table, 1, positions), tower);
  let x = g.layernorm(
    g.withLearnedRows(placed, classRow, `${tower}.rows`),
    `${tower}.layernorm_pre`,
    EPSILON,
  );
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `${tower}.model.layers.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.input_layernorm`, EPSILON), `${layer}.self_attn`);
    x = g.sum(x, attended, `${layer}.self_attn.residual`);
    const widened = mlp(g.layernorm(x, `${layer}.post_attention_layernorm`, EPSILON), `${layer}.mlp`);
    x = g.sum(x, widened, `${layer}.mlp.residual`);
  }
  const adapter = `${tower}.vision_adapter.mlp`;
  const normed = g.layernorm(g.patchesOf(x, `${adapter}.patches`), `${tower}.layernorm_post`, EPSILON);
  let y = g.mergeRows(normed, merge, adapter);
  for (const [name, columns] of [
    ["fc1", config.projector_input_dim],
    ["fc2", config.projector_output_dim],
  ] as const) {
    const wide = g.linear(y, `${adapter}.${name}`, columns, { bias: false });
    y = g.activation(wide, `${adapter}.${name}.act`, "gelu_erf");
  }
  return g.build([g.linear(y, "multi_modal_projector.linear_1", config.text_hidden_size, { bias: false })]);
}
