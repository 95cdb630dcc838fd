/**
 * Pixtral's vision tower, as transformers' PixtralVisionModel computes it, and a projector: Mistral Small 3's merges
 * patches, Pixtral's does not. RoPE has different frequencies for rows and columns.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { PixtralConfig } from "./config.js";

/** transformers' RMSNorm epsilon in this tower, without a config key. */
const EPSILON = 1e-5;

/** @param merges as for `readPixtralConfig` */
export function buildPixtralGraph(config: PixtralConfig, merges: boolean, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, num_channels: channels } = config;
  const { patch_size: patchSize, spatial_merge_size: merge, multimodal_projector_bias: bias } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");
  const angles = g.ropeAnglesByAxis(hidden / heads, config.rope_theta);
  const rotation = { positions: g.positions(), angles };

  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    const attended = g.attention(x, name, parts, { heads, segments, rotation, bias: false });
    return g.linear(attended, `${name}.o_proj`, hidden, { bias: false });
  };
  const feedForward = (x: ValueId, name: string) =>
    g.gatedMlp(x, name, config.intermediate_size, activation, { bias: false });

  const patches = g.linear(pixels, "vision_tower.patch_conv", hidden, {
    bias: false,
    shape: [hidden, channels, patchSize, patchSize],
  });
  let x = g.rmsnorm(patches, "vision_tower.ln_pre", EPSILON);
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `vision_tower.transformer.layers.${index}`;
    const attended = attention(g.rmsnorm(x, `${layer}.attention_norm`, EPSILON), `${layer}.attention`);
    x = g.sum(x, attended, `${layer}.attention.residual`);
    const fed = feedForward(g.rmsnorm(x, `${layer}.ffn_norm`, EPSILON), `${layer}.feed_forward`);
    x = g.sum(x, fed, `${layer}.feed_forward.residual`);
  }
  const projector = "multi_modal_projector";
  const merger = (rows: ValueId) => {
    const joined = g.mergeRows(
      g.rmsnorm(rows, `${projector}.norm`, config.text_rms_norm_eps),
      merge,
      projector,
    );
    const shape = [hidden, hidden * merge ** 2];
    const name = `${projector}.patch_merger.merging_layer`;
    return g.patchConvolution(joined, name, hidden, merge, { bias: false, shape });
  };
  const tokens = merges ? merger(x) : g.mergeRows(x, 1, projector);
  const widths = [config.text_hidden_size, config.text_hidden_size] as const;
  return g.build([g.mlp(tokens, projector, widths, activationOf(config.projector_hidden_act), { bias })]);
}
