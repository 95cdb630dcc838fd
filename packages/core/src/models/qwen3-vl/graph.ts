/**
 * The Qwen3-VL vision tower, as transformers' Qwen3VLVisionModel computes it: patches with learned positions, blocks
 * of attention with two-dimensional rotary positions, and mergers that turn merge² patches into a token. The
 * deepstack mergers read the patches after some of the blocks.
 */
import { type Graph, GraphBuilder, type ValueId } from "../../graph/graph.js";
import { type Activation, rowsOf } from "../../graph/ops.js";
import { MODEL_INPUTS } from "../vision-model.js";
import type { Qwen3VLVisionConfig } from "./config.js";

/** transformers' LayerNorm epsilon in this tower; no key of the config sets it. */
const LAYERNORM_EPSILON = 1e-6;
/** Rows of the angle table. A grid side beyond it would be an image of over 130 000 pixels. */
export const MAX_GRID_SIDE = 8192;

export function buildQwen3VLGraph(
  config: Qwen3VLVisionConfig,
  activation: Activation,
  channelScale: Float32Array,
): Graph {
  const { hidden_size: hidden, intermediate_size: intermediate, num_heads: heads } = config;
  const merged = hidden * config.spatial_merge_size ** 2;
  const patchArea = config.patch_size ** 2;
  const patchColumns = config.in_channels * config.temporal_patch_size * patchArea;
  // The widest format: a patch of normalised float32 values.
  const stagedBytes = patchColumns * Float32Array.BYTES_PER_ELEMENT;

  const g = new GraphBuilder();
  const patches = rowsOf("patches");
  const pixels = g.input(MODEL_INPUTS.pixels, { element: "u8", rows: patches, columns: stagedBytes });
  const sources = g.input(MODEL_INPUTS.patchSources, { element: "i32", rows: patches, columns: 1 });
  const positions = g.input(MODEL_INPUTS.positions, { element: "i32", rows: patches, columns: 4 });
  const cuSeqlens = g.input(MODEL_INPUTS.cuSeqlens, {
    element: "i32",
    rows: rowsOf("segments", 1),
    columns: 1,
  });
  const scale = g.constant("channel_scale", 2, channelScale);
  const headSize = hidden / heads;
  const angles = g.constant("rope_angles", headSize / 2, ropeAngles(headSize, config.rope_theta));

  const linear = (x: ValueId, name: string, rows: number, columns: number, shape = [rows, columns]) =>
    g.add(
      "linear",
      [x, g.weight(`${name}.weight`, shape), g.weight(`${name}.bias`, [rows]), null],
      { activation: "none" },
      name,
    );
  const layernorm = (x: ValueId, name: string, columns: number) =>
    g.add(
      "layernorm",
      [x, g.weight(`${name}.weight`, [columns]), g.weight(`${name}.bias`, [columns])],
      { epsilon: LAYERNORM_EPSILON },
      name,
    );
  const apply = (x: ValueId, name: string, fn: Activation) =>
    g.add("activation", [x], { function: fn }, name);
  const add = (a: ValueId, b: ValueId, name: string) => g.add("add", [a, b], {}, name);

  const attention = (x: ValueId, name: string) => {
    const qkv = linear(x, `${name}.qkv`, 3 * hidden, hidden);
    const part = (index: number, label: string) =>
      g.add("slice_columns", [qkv], { start: index * hidden, count: hidden }, `${name}.${label}`);
    const rotate = (value: ValueId, label: string) =>
      g.add("rope", [value, positions, angles], { heads }, `${name}.${label}.rope`);
    const attended = g.add(
      "attention",
      [rotate(part(0, "q"), "q"), rotate(part(1, "k"), "k"), part(2, "v"), cuSeqlens],
      { heads, scale: headSize ** -0.5 },
      `${name}.attention`,
    );
    return linear(attended, `${name}.proj`, hidden, hidden);
  };
  const mlp = (x: ValueId, name: string) => {
    const wide = apply(linear(x, `${name}.linear_fc1`, intermediate, hidden), `${name}.act`, activation);
    return linear(wide, `${name}.linear_fc2`, hidden, intermediate);
  };
  const mergeRows = (x: ValueId, name: string) =>
    g.add("merge_rows", [x], { factor: config.spatial_merge_size ** 2 }, `${name}.merge`);
  // The last merger normalises patches and then merges them; the deepstack mergers do it the other way round.
  const merger = (x: ValueId, name: string, order: "norm-first" | "merge-first") => {
    const rows =
      order === "norm-first"
        ? mergeRows(layernorm(x, `${name}.norm`, hidden), name)
        : layernorm(mergeRows(x, name), `${name}.norm`, merged);
    const wide = apply(linear(rows, `${name}.linear_fc1`, merged, merged), `${name}.act`, "gelu_erf");
    return linear(wide, `${name}.linear_fc2`, config.out_hidden_size, merged);
  };

  const patchValues = g.add(
    "unpack_patches",
    [pixels, sources, scale],
    { channels: config.in_channels, temporal: config.temporal_patch_size, patchArea },
    "patches",
  );
  const embedded = linear(patchValues, "patch_embed.proj", hidden, patchColumns, [
    hidden,
    config.in_channels,
    config.temporal_patch_size,
    config.patch_size,
    config.patch_size,
  ]);
  const side = Math.sqrt(config.num_position_embeddings);
  const table = g.weight("pos_embed.weight", [config.num_position_embeddings, hidden]);
  const learned = g.add("position_embedding", [table, positions], { side }, "pos_embed");

  let x = add(embedded, learned, "embeddings");
  const deepstack: ValueId[] = [];
  for (let layer = 0; layer < config.depth; layer++) {
    const block = `blocks.${layer}`;
    x = add(x, attention(layernorm(x, `${block}.norm1`, hidden), `${block}.attn`), `${block}.attn.residual`);
    x = add(x, mlp(layernorm(x, `${block}.norm2`, hidden), `${block}.mlp`), `${block}.mlp.residual`);
    const level = config.deepstack_visual_indexes.indexOf(layer);
    // In the order of the layers, as transformers appends them, whatever the order of the list.
    if (level >= 0) deepstack.push(merger(x, `deepstack_merger_list.${level}`, "merge-first"));
  }
  return g.build([merger(x, "merger", "norm-first"), ...deepstack]);
}

/**
 * f32 [MAX_GRID_SIDE, headSize/2]: for each position the cosines of the headSize/4 frequencies, then their sines.
 * The angle is a float32 product, as transformers computes it.
 */
function ropeAngles(headSize: number, theta: number): Float32Array {
  const frequencies = headSize / 4;
  const table = new Float32Array(MAX_GRID_SIDE * 2 * frequencies);
  for (let i = 0; i < frequencies; i++) {
    const frequency = Math.fround(1 / Math.fround(theta ** Math.fround(i / frequencies)));
    for (let position = 0; position < MAX_GRID_SIDE; position++) {
      const angle = Math.fround(position * frequency);
      const row = position * 2 * frequencies;
      table[row + i] = Math.cos(angle);
      table[row + frequencies + i] = Math.sin(angle);
    }
  }
  return table;
}
