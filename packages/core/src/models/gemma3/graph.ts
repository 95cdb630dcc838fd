/**
 * Gemma 3's vision tower and projector, as transformers' SiglipVisionModel and Gemma3MultiModalProjector compute them: patches
 * with learned positions, blocks of attention over the whole image, the mean of k × k patches, a norm and a projection to
 * the language model's width.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { Gemma3Config } from "./config.js";

export function buildGemma3Graph(config: Gemma3Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon, merge, side } = config;
  const { num_channels: channels, patch_size: patchSize, text_hidden_size: columns } = config;
  const activation = activationOf(config.hidden_act);
  const tower = "vision_tower.vision_model";
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");

  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    return g.linear(g.attention(x, name, parts, { heads, segments }), `${name}.out_proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, hidden);
  };

  const embeddings = `${tower}.embeddings`;
  const patches = g.linear(pixels, `${embeddings}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const table = g.weight(`${embeddings}.position_embedding.weight`, [side ** 2, hidden]);
  let x = g.sum(patches, g.interpolate(table, 1, `${embeddings}.position_embedding`), embeddings);
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `${tower}.encoder.layers.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.layer_norm1`, epsilon), `${layer}.self_attn`);
    x = g.sum(x, attended, `${layer}.self_attn.residual`);
    const widened = mlp(g.layernorm(x, `${layer}.layer_norm2`, epsilon), `${layer}.mlp`);
    x = g.sum(x, widened, `${layer}.mlp.residual`);
  }
  const normed = g.layernorm(x, `${tower}.post_layernorm`, epsilon);
  const projector = "multi_modal_projector";
  const merged = g.mergeRows(normed, merge, projector);
  const mean = g.add("mean_groups", [merged], { groups: merge ** 2 }, `${projector}.mean`);
  // The checkpoint has w where the scale is 1 + w, and the projection's columns as rows.
  const scaled = g.rmsnorm(mean, `${projector}.mm_soft_emb_norm`, epsilon, 1);
  const projection = g.weight(`${projector}.mm_input_projection_weight`, [columns, hidden], {
    transposed: true,
  });
  return g.build([g.add("linear", [scaled, projection, null, null], { activation: "none" }, projector)]);
}
