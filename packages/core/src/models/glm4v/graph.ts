/**
 * The vision tower of GLM-4.1V, 4.5V and 4.6V, as transformers' Glm4vVisionModel computes it: normed patches with learned
 * positions, blocks with two-dimensional RoPE, a convolution that turns merge² patches into a token, and a gated MLP.
 * GLM-OCR (GlmOcrVisionModel) has norms of queries and keys instead of learned positions. GLM-5.3 (Glm5NextVisionModel)
 * also clamps the operands of its gated MLPs.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { BICUBIC_TAPS } from "../patch-tables.js";
import { activationOf } from "../vision-config.js";
import type { Glm4vVisionConfig } from "./config.js";

/** torch's default, used by the merger's layer norm. */
const MERGER_EPSILON = 1e-5;

export function buildGlm4vGraph(config: Glm4vVisionConfig, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_heads: heads, rms_norm_eps: epsilon, attention_bias: bias } = config;
  const { in_channels: channels, temporal_patch_size: temporal, patch_size: patchSize } = config;
  const { spatial_merge_size: merge, out_hidden_size: columns, ocr } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(hidden / heads, config.rope_theta) };

  const attention = (x: ValueId, name: string) => {
    const headNorms = ocr ? { headNorms: { epsilon } } : {};
    const attended = g.attention(x, name, `${name}.qkv`, { heads, segments, rotation, bias, ...headNorms });
    return g.linear(attended, `${name}.proj`, hidden, { bias: ocr && bias });
  };
  const limits = config.swiglu_limit === undefined ? {} : { limits: limitsOf(config.swiglu_limit) };
  const mlp = (x: ValueId, name: string) =>
    g.gatedMlp(x, name, config.block_width, activation, { bias: ocr && bias, ...limits });
  const placed = (patches: ValueId) => {
    const normed = g.rmsnorm(patches, "post_conv_layernorm", epsilon);
    const table = g.weight("embeddings.position_embedding.weight", [config.side ** 2, hidden]);
    const positions = g.interpolate(table, BICUBIC_TAPS, "embeddings.position_embedding");
    return g.sum(normed, positions, "embeddings");
  };

  const embedded = g.linear(pixels, "patch_embed.proj", hidden, {
    shape: [hidden, channels, temporal, patchSize, patchSize],
  });
  let x = ocr ? embedded : placed(embedded);
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    const attended = attention(g.rmsnorm(x, `${block}.norm1`, epsilon), `${block}.attn`);
    x = g.sum(x, attended, `${block}.attn.residual`);
    x = g.sum(x, mlp(g.rmsnorm(x, `${block}.norm2`, epsilon), `${block}.mlp`), `${block}.mlp.residual`);
  }
  const rows = g.mergeRows(g.rmsnorm(x, "post_layernorm", epsilon), merge, "downsample");
  const tokens = g.patchConvolution(rows, "downsample", columns, merge);
  const projected = g.linear(tokens, "merger.proj", columns, { bias: false });
  const normed = g.layernorm(projected, "merger.post_projection_norm", MERGER_EPSILON);
  const activated = g.activation(normed, "merger.act1", "gelu_erf");
  return g.build([
    g.gatedMlp(activated, "merger", config.merger_width, activation, { bias: false, ...limits }),
  ]);

  function limitsOf(limit: number) {
    const high = g.number("swiglu_limit", limit);
    return {
      gate: [g.number("swiglu_limit.none", Number.NEGATIVE_INFINITY), high],
      up: [g.number("swiglu_limit.low", -limit), high],
    } as const;
  }
}
