/**
 * Gemma 4's vision tower and embedder, as transformers' Gemma4VisionModel and Gemma4MultimodalEmbedder compute them: patches
 * with a learned position for each axis, layers with norms before and after attention and MLP, norms of each head, the
 * mean of k × k patches and a projection to the language model's width. In the small models every linear layer clamps
 * its input and output; in the large ones the means are standardized.
 */
import type { Graph, ValueId } from "../../graph/graph.js";
import { headColumns, headRows, type LinearOptions, TowerBuilder } from "../layers.js";
import { activationOf } from "../vision-config.js";
import type { Gemma4Config } from "./config.js";

/** One tap each in the position tables of x and y. */
export const POSITION_TAPS = 2;

export function buildGemma4Graph(config: Gemma4Config, channelScale: Float32Array): Graph {
  const { hidden_size: hidden, num_attention_heads: heads, rms_norm_eps: epsilon } = config;
  const { patch_size: patchSize, pooling_kernel_size: pool, position_embedding_size: positions } = config;
  const activation = activationOf(config.hidden_activation);
  const headSize = hidden / heads;
  // [axis, element of a pair, frequency] → [element of a pair, axis, frequency]
  const headOrder = { sides: [2, 2, headSize / 4], axes: [1, 0, 2] };
  const g = new TowerBuilder();
  const pixels = g.patches({ channels: 3, temporal: 1, patchSize, channelsLast: true }, channelScale);
  const segments = g.segments("cu_seqlens");
  const rotation = { positions: g.positions(), angles: g.ropeAngles(headSize, config.rope_theta) };
  const attending = { heads, segments, rotation, headOrder, headNorms: { epsilon, values: true }, scale: 1 };

  const bound = (name: string) => g.weight(name, [1], { stored: [] });
  const clipped = (x: ValueId, name: string, side: "input" | "output") => {
    if (!config.use_clipped_linears) return x;
    const bounds = [bound(`${name}.${side}_min`), bound(`${name}.${side}_max`)];
    return g.add("clamp", [x, ...bounds], {}, `${name}.${side}`);
  };
  const linear = (x: ValueId, name: string, columns: number, options: LinearOptions = {}) => {
    const product = g.linear(clipped(x, name, "input"), `${name}.linear`, columns, {
      bias: false,
      ...options,
    });
    return clipped(product, name, "output");
  };
  const attention = (x: ValueId, name: string) => {
    const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((part) => `${name}.${part}`) as [
      string,
      string,
      string,
    ];
    // With clamps, the inputs of the three projections differ, so they cannot be one product.
    const apart = (part: string) =>
      linear(x, part, hidden, { reordered: headRows(heads, hidden, headOrder) });
    const together = [`${q}.linear`, `${k}.linear`, `${v}.linear`] as const;
    const attended = config.use_clipped_linears
      ? g.attend(apart(q), apart(k), apart(v), name, attending)
      : g.attention(x, name, together, { ...attending, bias: false });
    return linear(attended, `${name}.o_proj`, hidden, { reordered: headColumns(hidden, heads, headOrder) });
  };
  const mlp = (x: ValueId, name: string) => {
    const width = config.intermediate_size;
    const operands = [linear(x, `${name}.gate_proj`, width), linear(x, `${name}.up_proj`, width)];
    return linear(
      g.add("gate", operands, { function: activation }, `${name}.act`),
      `${name}.down_proj`,
      hidden,
    );
  };

  const embedder = "vision_tower.patch_embedder";
  const projection = `${embedder}.input_proj.weight`;
  const columns = 3 * patchSize ** 2;
  // The tower computes W · (2x − 1) for pixels x from 0 to 1: weight 2W, and as bias minus the row sums of W.
  const weight = g.weight(projection, [hidden, columns], { factor: 2 });
  const bias = g.weight(`${embedder}.input_proj.bias`, [hidden], {
    parts: [projection],
    stored: [hidden, columns],
    summedColumns: 1,
    factor: -1,
  });
  const patches = g.add(
    "linear",
    [pixels, weight, bias, null],
    { activation: "none" },
    `${embedder}.input_proj`,
  );
  const table = g.weight(`${embedder}.position_embedding_table`, [2 * positions, hidden], {
    stored: [2, positions, hidden],
  });
  let x = g.sum(patches, g.interpolate(table, POSITION_TAPS, `${embedder}.positions`), embedder);
  for (let index = 0; index < config.num_hidden_layers; index++) {
    const layer = `vision_tower.encoder.layers.${index}`;
    const norm = (rows: ValueId, name: string) => g.rmsnorm(rows, `${layer}.${name}`, epsilon);
    const attended = attention(norm(x, "input_layernorm"), `${layer}.self_attn`);
    x = g.sum(x, norm(attended, "post_attention_layernorm"), `${layer}.self_attn.residual`);
    const widened = mlp(norm(x, "pre_feedforward_layernorm"), `${layer}.mlp`);
    x = g.sum(x, norm(widened, "post_feedforward_layernorm"), `${layer}.mlp.residual`);
  }
  const merged = g.mergeRows(x, pool, "vision_tower.pooler");
  const mean = g.add("mean_groups", [merged], { groups: pool ** 2 }, "vision_tower.pooler.mean");
  // transformers multiplies the means by √hidden. Without standardization an RMSNorm follows, so dividing its epsilon
  // by hidden has the same effect.
  const standardized = () => {
    const [shift, scale] = ["std_bias", "std_scale"].map((name) =>
      g.weight(`vision_tower.${name}`, [hidden]),
    );
    const factor = Math.fround(Math.sqrt(hidden));
    return g.add(
      "standardize",
      [mean, shift as ValueId, scale as ValueId],
      { factor },
      "vision_tower.standardize",
    );
  };
  const [soft, normEpsilon] = config.standardize ? [standardized(), epsilon] : [mean, epsilon / hidden];
  const normed = g.add(
    "rmsnorm_groups",
    [soft, null],
    { groups: 1, epsilon: normEpsilon },
    "embed_vision.embedding_pre_projection_norm",
  );
  const embedding = "embed_vision.embedding_projection";
  return g.build([g.linear(normed, embedding, config.text_hidden_size, { bias: false })]);
}
