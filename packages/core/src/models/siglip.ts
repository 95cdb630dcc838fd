/**
 * The encoder of SigLIP, which many families took over: layers of attention and an MLP, each behind a layer norm. CLIP's has
 * the same tensors.
 */
import type { ValueId } from "../graph/graph.js";
import type { Activation } from "../graph/ops.js";
import type { Rotation, TowerBuilder } from "./layers.js";

export interface SiglipLayers {
  /** What stands before `encoder.layers`. */
  readonly name: string;
  /** Where they end. */
  readonly layers: number;
  /** The first of them. Default: 0. */
  readonly first?: number;
  readonly heads: number;
  /** Columns inside the MLP. */
  readonly intermediate: number;
  readonly activation: Activation;
  readonly epsilon: number;
  /** The value of `segments()` within which the layers attend. */
  readonly segments: ValueId;
  readonly rotation?: Rotation;
}

export function siglipEncoder(g: TowerBuilder, patches: ValueId, options: SiglipLayers): ValueId {
  const { heads, intermediate, activation, epsilon, segments, rotation } = options;
  const { columns: hidden } = g.typeOf(patches);
  const attention = (x: ValueId, name: string) => {
    const parts = [`${name}.q_proj`, `${name}.k_proj`, `${name}.v_proj`] as const;
    const attended = g.attention(x, name, parts, { heads, segments, ...(rotation && { rotation }) });
    return g.linear(attended, `${name}.out_proj`, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = g.linear(x, `${name}.fc1`, intermediate);
    return g.linear(g.activation(wide, `${name}.act`, activation), `${name}.fc2`, hidden);
  };
  let x = patches;
  for (let index = options.first ?? 0; index < options.layers; index++) {
    const layer = `${options.name}.encoder.layers.${index}`;
    const attended = attention(g.layernorm(x, `${layer}.layer_norm1`, epsilon), `${layer}.self_attn`);
    x = g.sum(x, attended, `${layer}.self_attn.residual`);
    const widened = mlp(g.layernorm(x, `${layer}.layer_norm2`, epsilon), `${layer}.mlp`);
    x = g.sum(x, widened, `${layer}.mlp.residual`);
  }
  return x;
}
