/**
 * The vision tower and projector of Step-3.7-Flash and Step3-VL-10B, a perception encoder: patches with learned
 * positions, blocks with layer scale and two-dimensional RoPE, two convolutions that halve the grid, and a linear
 * projector. RoPE rotates adjacent columns of a head: the first half of the pairs by the patch's column, the other by
 * its row.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { headColumns, TowerBuilder } from "../layers.js";
import { BILINEAR_TAPS } from "../patch-tables.js";
import { activationOf } from "../vision-config.js";
import type { StepConfig } from "./config.js";

export function buildStepGraph(config: StepConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const { num_channels: channels, patch_size: patchSize } = config;
  const headSize = hidden / heads;
  // [pair, element of a pair] → [element of a pair, pair]
  const headOrder = { sides: [headSize / 2, 2], axes: [1, 0] };
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(headSize, config.rope_theta) };

  const attention = (x: ValueId, block: string) => {
    const name = `${block}.attn`;
    const attended = g.attention(x, name, `${name}.in_proj`, { heads, segments, rotation, headOrder });
    return g.linear(attended, `${name}.out_proj`, hidden, {
      reordered: headColumns(hidden, heads, headOrder),
      scale: `${block}.ls_1.gamma`,
    });
  };
  const mlp = (x: ValueId, block: string) => {
    const wide = g.linear(x, `${block}.mlp.c_fc`, config.intermediate_size);
    const activated = g.activation(wide, `${block}.mlp.act`, activation);
    return g.linear(activated, `${block}.mlp.c_proj`, hidden, { scale: `${block}.ls_2.gamma` });
  };

  const tower = "vision_model";
  const patches = g.linear(pixels, `${tower}.conv1`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
    bias: false,
  });
  const table = g.weight(`${tower}.positional_embedding`, [config.side ** 2, hidden]);
  const placed = g.sum(
    patches,
    g.interpolate(table, BILINEAR_TAPS, `${tower}.positions`),
    `${tower}.embeddings`,
  );
  let x = g.layernorm(placed, `${tower}.ln_pre`, epsilon);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `${tower}.transformer.resblocks.${layer}`;
    x = g.sum(x, attention(g.layernorm(x, `${block}.ln_1`, epsilon), block), `${block}.attn.residual`);
    x = g.sum(x, mlp(g.layernorm(x, `${block}.ln_2`, epsilon), block), `${block}.mlp.residual`);
  }
  x = g.convolution(x, `${tower}.vit_downsampler1`, 2 * hidden, "patches");
  x = g.convolution(x, `${tower}.vit_downsampler2`, 4 * hidden, "merged");
  return g.build([
    g.linear(x, "vit_large_projector", config.text_hidden_size, { bias: config.projector_bias }),
  ]);
}
