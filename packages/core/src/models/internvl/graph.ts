/**
 * InternVL's vision tower and projector, as transformers' InternVLVisionModel and InternVLMultiModalProjector compute them: a
 * class row before the patches of each tile, layers with layer scale, and a merger without the class rows.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { type PackedProjection, TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { InternVLConfig } from "./config.js";

/** torch's default, used by the projector's layer norm. */
const PROJECTOR_EPSILON = 1e-5;

/** @param projection returns the checkpoint names of a layer's attention projection */
export function buildInternVLGraph(
  config: InternVLConfig,
  projection: (layer: string) => PackedProjection,
  channelScale: Float32Array,
): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon, merge, side } = config;
  const { num_channels: channels, patch_size: patchSize, attention_bias: bias } = config;
  const activation = activationOf(config.hidden_act);
  const g = new TowerBuilder();
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const segments = g.segments("cu_seqlens");

  const attention = (x: ValueId, layer: string) => {
    const name = `${layer}.attention`;
    const attended = g.attention(x, name, projection(name), { heads, segments, bias });
    return g.linear(attended, `${name}.projection_layer`, hidden, { scale: `${layer}.lambda_1` });
  };
  const mlp = (x: ValueId, layer: string) => {
    const wide = g.linear(x, `${layer}.mlp.fc1`, config.intermediate_size);
    const activated = g.activation(wide, `${layer}.mlp.act`, activation);
    return g.linear(activated, `${layer}.mlp.fc2`, hidden, { scale: `${layer}.lambda_2` });
  };

  const embeddings = "vision_tower.embeddings";
  const patches = g.linear(pixels, `${embeddings}.patch_embeddings.projection`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const stored = [1, side ** 2 + 1, hidden];
  const positions = `${embeddings}.position_embeddings`;
  const table = g.weight(positions, [side ** 2 + 1, hidden], { stored });
  const classRow = g.weight(`${embeddings}.cls_token`, [1, hidden], {
    stored: [1, 1, hidden],
    plus: { tensor: positions, stored },
  });
  const placed = g.sum(patches, g.interpolate(table, 1, positions), embeddings);
  let x = g.withLearnedRows(placed, classRow, `${embeddings}.rows`);
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `vision_tower.encoder.layer.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.layernorm_before`, epsilon), layer);
    x = g.sum(x, attended, `${layer}.attention.residual`);
    x = g.sum(x, mlp(g.layernorm(x, `${layer}.layernorm_after`, epsilon), layer), `${layer}.mlp.residual`);
  }
  const projector = "multi_modal_projector";
  const merged = g.mergeRows(g.patchesOf(x, `${projector}.patches`), merge, projector);
  const normed = g.layernorm(merged, `${projector}.layer_norm`, PROJECTOR_EPSILON);
  const widths = [config.text_hidden_size, config.text_hidden_size] as const;
  return g.build([g.mlp(normed, projector, widths, activationOf(config.projector_hidden_act))]);
}
