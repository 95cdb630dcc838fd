/**
 * SigLIP's encoder, used by many families: pre-norm layers of attention and an MLP. CLIP's encoder has the same
 * tensors.
 */
import type { ValueId } from "../graph/graph.js";
import type { ReorderedElements } from "../graph/ops.js";
import { headColumns, type Rotation, type TowerBuilder } from "./layers.js";
import { activationOf } from "./vision-config.js";

/** transformers' names. */
export interface SiglipPatchConfig {
  readonly hidden_size: number;
  readonly num_channels: number;
  readonly patch_size: number;
  /** Cells along one side of the position table. */
  readonly side: number;
}

/**
 * Patches with learned positions.
 * @param name `embeddings` with its prefix.
 * @param taps taps per patch in the layout
 */
export function siglipPatches(
  g: TowerBuilder,
  config: SiglipPatchConfig,
  name: string,
  channelScale: Float32Array,
  taps = 1,
): ValueId {
  const { hidden_size: hidden, num_channels: channels, patch_size: patchSize, side } = config;
  const pixels = g.patches({ channels, temporal: 1, patchSize }, channelScale);
  const patches = g.linear(pixels, `${name}.patch_embedding`, hidden, {
    shape: [hidden, channels, patchSize, patchSize],
  });
  const table = g.weight(`${name}.position_embedding.weight`, [side ** 2, hidden]);
  return g.sum(patches, g.interpolate(table, taps, `${name}.position_embedding`), name);
}

/** transformers' names. */
export interface SiglipEncoderConfig {
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly intermediate_size: number;
  readonly hidden_act: string;
  readonly layer_norm_eps: number;
}

export interface SiglipLayers {
  /** The prefix of `encoder.layers`. */
  readonly name: string;
  /** Index of the first layer. Default: 0. */
  readonly first?: number;
  /** Index after the last layer. Default: `num_hidden_layers`. */
  readonly end?: number;
  /** The result of `segments()`: each row attends within its segment. */
  readonly segments: ValueId;
  readonly rotation?: Rotation;
  /** As in `AttentionOptions`. */
  readonly headOrder?: ReorderedElements;
}

/** @throws VG_MODEL_UNSUPPORTED for an unknown activation */
export function siglipEncoder(
  g: TowerBuilder,
  patches: ValueId,
  config: SiglipEncoderConfig,
  { name: tower, first = 0, end = config.num_hidden_layers, segments, rotation, headOrder }: SiglipLayers,
): ValueId {
  const { num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const activation = activationOf(config.hidden_act);
  const { columns: hidden } = g.typeOf(patches);
  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    const attended = g.attention(x, name, parts, {
      heads,
      segments,
      ...(rotation && { rotation }),
      ...(headOrder && { headOrder }),
    });
    return g.linear(attended, `${name}.out_proj`, hidden, {
      ...(headOrder && { reordered: headColumns(hidden, heads, headOrder) }),
    });
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, config.intermediate_size);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, hidden);
  };
  let x = patches;
  for (let index = first; index < end; index++) {
    const layer = `${tower}.encoder.layers.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.layer_norm1`, epsilon), `${layer}.self_attn`);
    x = g.sum(x, attended, `${layer}.self_attn.residual`);
    const widened = mlp(g.layernorm(x, `${layer}.layer_norm2`, epsilon), `${layer}.mlp`);
    x = g.sum(x, widened, `${layer}.mlp.residual`);
  }
  return x;
}
