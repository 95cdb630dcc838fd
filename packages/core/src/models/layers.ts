/** Builds the layers of towers from ops, under transformers' tensor names. */
import { VitgraphError } from "@vitgraph/errors";
import { GraphBuilder, type ValueId } from "../graph/graph.js";
import { type Activation, type ReorderedElements, rowsOf } from "../graph/ops.js";
import type { PatchTable } from "./patch-tables.js";
import {
  type ConvolutionInput,
  MODEL_INPUTS,
  SEGMENT_LISTS,
  type SegmentList,
  TOKEN_TAPS,
} from "./vision-model.js";

/** Rows of the cos/sin table per set of frequencies. A larger grid side would be over 100 000 pixels long. */
export const MAX_GRID_SIDE = 8192;

/** The rows that {@link TowerBuilder.learnedRopeAngles} appends to the cos/sin table. */
export const LEARNED_POSITION = [MAX_GRID_SIDE, MAX_GRID_SIDE + 1] as const;

/** The checkpoint's tensors of `[q | k | v]`: one packed tensor, or three. */
export type PackedProjection = string | readonly [q: string, k: string, v: string];

export interface PatchForm {
  readonly channels: number;
  /** Frames per patch. */
  readonly temporal: number;
  /** Pixels along one side. */
  readonly patchSize: number;
  /** Channels are interleaved in a row, as in the family's processor. */
  readonly channelsLast?: boolean;
}

export interface Rotation {
  /** The result of `positions()` or `rowPositions()`. */
  readonly positions: ValueId;
  /** The result of `ropeAngles()` or a variant. */
  readonly angles: ValueId;
}

/** Options for loading a product's weight and bias. */
export interface LinearOptions {
  /** Default: true. */
  readonly bias?: boolean;
  /** The checkpoint's shape, if the weight is not a matrix (a convolution over patches). */
  readonly shape?: readonly number[];
  /** Order of the weight's elements. */
  readonly reordered?: ReorderedElements;
  /** A vector of the checkpoint that multiplies the result: layer scale. */
  readonly scale?: string;
}

/** Minimum and maximum, results of `number()`. */
export type Limits = readonly [low: ValueId, high: ValueId];

export interface GatedMlpOptions {
  /** Default: true. */
  readonly bias?: boolean;
  /** Clamps the two products. */
  readonly limits?: { readonly gate: Limits; readonly up: Limits };
}

export interface AttentionOptions {
  readonly heads: number;
  /** Number of key and value heads (grouped-query attention). Their rows are repeated at load. Default: `heads`. */
  readonly keyValueHeads?: number;
  /** Whether the projection has a bias. Default: true. */
  readonly bias?: boolean;
  /**
   * The order of a head's columns in the checkpoint, if RoPE pairs are not (i, i + headSize/2): a head is reshaped to
   * `sides`, and its axes, or the places along one, are permuted. Values are reordered too, so the output projection
   * needs {@link headColumns}. If `padded` makes a head longer, set `scale`.
   */
  readonly headOrder?: ReorderedElements;
  /** RMSNorm of each query and key head, `q_norm` and `k_norm`; with `values` also of value heads, without a weight. */
  readonly headNorms?: { readonly epsilon: number; readonly values?: boolean };
  /** Scale of the scores. Default: 1 / sqrt(head size). */
  readonly scale?: number;
  /** The result of `segments()`: each row attends within its segment. */
  readonly segments: ValueId;
  readonly rotation?: Rotation;
}

export class TowerBuilder extends GraphBuilder {
  /** i32 [patches, 2]: `positions` of the layout. */
  positions(): ValueId {
    return this.#patchTable("positions", "i32", 2);
  }

  /** i32 [rows, 2]: `rowPositions` of the layout. */
  rowPositions(): ValueId {
    return this.input(MODEL_INPUTS.rowPositions, { element: "i32", rows: rowsOf("rows"), columns: 2 });
  }

  /** For each patch, the rows of `table` interpolated with the taps of the layout. */
  interpolate(table: ValueId, taps: number, name: string): ValueId {
    const [rows, weights] = [
      this.#patchTable("tap_rows", "i32", taps),
      this.#patchTable("tap_weights", "f32", taps),
    ];
    return this.add("interpolate_rows", [table, rows, weights], {}, name);
  }

  /** i32 [segments + 1, 1]: the prefix sums of a segment list of the layout. */
  segments(list: SegmentList): ValueId {
    return this.input(list, { element: "i32", rows: rowsOf(SEGMENT_LISTS[list], 1), columns: 1 });
  }

  /** The pixels of the items, normalised, as rows of [channels · temporal · patch²]. */
  patches(form: PatchForm, channelScale: Float32Array): ValueId {
    if (form.channelsLast) return this.#pixelRows(form, channelScale);
    return this.#unpacked(form.channels, form.temporal, form.patchSize ** 2, channelScale);
  }

  #unpacked(channels: number, temporal: number, patchArea: number, channelScale: Float32Array): ValueId {
    const rows = rowsOf("patches");
    // Buffer size for the largest format, normalised float32.
    const stagedBytes = channels * temporal * patchArea * Float32Array.BYTES_PER_ELEMENT;
    const pixels = this.input(MODEL_INPUTS.pixels, { element: "u8", rows, columns: stagedBytes });
    const sources = this.input(MODEL_INPUTS.patchSources, { element: "i32", rows, columns: 1 });
    const scale = this.constant("channel_scale", 2, channelScale);
    return this.add("unpack_patches", [pixels, sources, scale], { channels, temporal, patchArea }, "patches");
  }

  /** x · weightᵀ + bias. */
  linear(
    x: ValueId,
    name: string,
    columns: number,
    { bias = true, shape, reordered, scale }: LinearOptions = {},
  ): ValueId {
    const own = [columns, this.typeOf(x).columns];
    const scaled = scale === undefined ? {} : { rowScale: scale };
    const weight =
      reordered === undefined
        ? this.weight(`${name}.weight`, shape ?? own, scaled)
        : this.weight(`${name}.weight`, own, { stored: shape ?? own, reordered, ...scaled });
    return this.#product(x, weight, bias ? this.weight(`${name}.bias`, [columns], scaled) : null, name);
  }

  /**
   * The product of values side by side, [a | b | …], of equal widths. It is the sum of their products with their columns
   * of the weight, so that no row is copied.
   */
  linearOfColumns(
    values: readonly ValueId[],
    name: string,
    columns: number,
    { bias = true }: Pick<LinearOptions, "bias"> = {},
  ): ValueId {
    const [only, another] = values as readonly [ValueId, ...ValueId[]];
    if (another === undefined) return this.linear(only, name, columns, { bias });
    const { columns: width } = this.typeOf(only);
    const products = values.map((value, index) => {
      const weight = this.weight(`${name}.weight.${index}`, [columns, width], {
        parts: [`${name}.weight`],
        stored: [columns, values.length * width],
        reordered: { sides: [columns, values.length, width], axes: [1, 0, 2] },
        first: index * columns * width,
      });
      const added = bias && index === 0 ? this.weight(`${name}.bias`, [columns]) : null;
      return this.#product(value, weight, added, `${name}.${index}`);
    });
    return products.reduce((sum, product) => this.sum(sum, product, name));
  }

  /**
   * A convolution with stride equal to its kernel, over rows joined by {@link mergeRows}. It is a product; its weight
   * is reordered so that channels are innermost, as in the rows.
   */
  patchConvolution(x: ValueId, name: string, columns: number, kernel: number, options: LinearOptions = {}) {
    const channels = this.typeOf(x).columns / kernel ** 2;
    const sides = [columns, channels, kernel, kernel];
    return this.linear(x, name, columns, {
      shape: sides,
      ...options,
      reordered: { sides, axes: [0, 2, 3, 1] },
    });
  }

  /**
   * A 3 × 3 convolution by the layout's `convolutionRows`: gathers the rows under the kernel, then a product. The first
   * one reads patches and gives rows of the dim `merged`; the second one reads those and gives tokens.
   */
  convolution(x: ValueId, name: string, columns: number, reads: ConvolutionInput): ValueId {
    const [input, rows] =
      reads === "patches"
        ? [MODEL_INPUTS.patchKernelRows, "merged"]
        : [MODEL_INPUTS.mergedKernelRows, "tokens"];
    const channels = this.typeOf(x).columns;
    const index = this.input(input, { element: "i32", rows: rowsOf(input), columns: 1 });
    const padding = this.weight(`${name}.padding`, [1, channels], { literal: new Array(channels).fill(0) });
    const gathered = this.add("assemble_rows", [x, padding, index], {}, `${name}.rows`);
    return this.patchConvolution(this.mergeRows(gathered, 3, name, rows), name, columns, 3);
  }

  /**
   * down(fn(gate(x)) · up(x)). The inner columns are zero-padded to a multiple of 8, which the fast CUDA kernels
   * require.
   */
  gatedMlp(
    x: ValueId,
    name: string,
    width: number,
    fn: Activation,
    { bias = true, limits }: GatedMlpOptions = {},
  ): ValueId {
    const { columns } = this.typeOf(x);
    const padded = Math.ceil(width / 8) * 8;
    const widen = (part: string) => {
      const weight = this.weight(`${part}.weight`, [padded, columns], { stored: [width, columns] });
      const added = bias ? this.weight(`${part}.bias`, [padded], { stored: [width] }) : null;
      return this.#product(x, weight, added, part);
    };
    const operands = (["gate", "up"] as const).map((part) => {
      const wide = widen(`${name}.${part}_proj`);
      return limits === undefined
        ? wide
        : this.add("clamp", [wide, ...limits[part]], {}, `${name}.${part}.clamp`);
    });
    const gated = this.add("gate", operands, { function: fn }, `${name}.act`);
    const down = `${name}.down_proj`;
    const weight = this.weight(`${down}.weight`, [columns, padded], { stored: [columns, width] });
    return this.#product(gated, weight, bias ? this.weight(`${down}.bias`, [columns]) : null, down);
  }

  layernorm(x: ValueId, name: string, epsilon: number): ValueId {
    const { columns } = this.typeOf(x);
    const operands = [x, this.weight(`${name}.weight`, [columns]), this.weight(`${name}.bias`, [columns])];
    return this.add("layernorm", operands, { epsilon }, name);
  }

  /** @param weightOffset added to the stored weight */
  rmsnorm(x: ValueId, name: string, epsilon: number, weightOffset = 0): ValueId {
    const weight = this.weight(`${name}.weight`, [this.typeOf(x).columns]);
    return this.add("rmsnorm", [x, weight], { epsilon, weightOffset }, name);
  }

  activation(x: ValueId, name: string, fn: Activation): ValueId {
    return this.add("activation", [x], { function: fn }, name);
  }

  sum(a: ValueId, b: ValueId, name: string): ValueId {
    return this.add("add", [a, b], {}, name);
  }

  /** `linear_1`, an activation, `linear_2`. @param widths inner columns and output columns */
  mlp(
    x: ValueId,
    name: string,
    widths: readonly [number, number],
    fn: Activation,
    options: Pick<LinearOptions, "bias"> = {},
  ): ValueId {
    const wide = this.linear(x, `${name}.linear_1`, widths[0], options);
    return this.linear(this.activation(wide, `${name}.act`, fn), `${name}.linear_2`, widths[1], options);
  }

  /** A merger after its norm: joins `merge`² patches to a token, and applies an MLP. */
  merger(normed: ValueId, merge: number, columns: number): ValueId {
    const rows = this.mergeRows(normed, merge, "merger");
    const wide = this.linear(rows, "merger.mlp.0", this.typeOf(rows).columns);
    return this.linear(this.activation(wide, "merger.act", "gelu_erf"), "merger.mlp.2", columns);
  }

  /** The output of attention, before its output projection. */
  attention(x: ValueId, name: string, projection: PackedProjection, options: AttentionOptions): ValueId {
    const qkv = this.#packed(x, `${name}.qkv`, projection, options);
    const columns = this.typeOf(qkv).columns / 3;
    const part = (index: number, label: string) =>
      this.add("slice_columns", [qkv], { start: index * columns, count: columns }, `${name}.${label}`);
    return this.attend(part(0, "q"), part(1, "k"), part(2, "v"), name, options);
  }

  /** Like {@link attention}, for queries, keys and values that are computed already. */
  attend(
    q: ValueId,
    k: ValueId,
    v: ValueId,
    name: string,
    options: Omit<AttentionOptions, "bias" | "keyValueHeads">,
  ): ValueId {
    const { heads, segments, rotation, headOrder, headNorms } = options;
    const headSize = this.typeOf(q).columns / heads;
    const { scale = 1 / Math.sqrt(headSize) } = options;
    const rotated = (value: ValueId, label: string) =>
      rotation === undefined
        ? value
        : this.add("rope", [value, rotation.positions, rotation.angles], { heads }, `${name}.${label}.rope`);
    const normed = (value: ValueId, label: string, weighted = true) => {
      if (headNorms === undefined) return value;
      const load = headOrder === undefined ? {} : { reordered: headOrder };
      const weight = weighted ? this.weight(`${name}.${label}.weight`, [headSize], load) : null;
      const { epsilon } = headNorms;
      return this.add("rmsnorm_groups", [value, weight], { groups: heads, epsilon }, `${name}.${label}`);
    };
    const queries = rotated(normed(q, "q_norm"), "q");
    const keys = rotated(normed(k, "k_norm"), "k");
    const values = headNorms?.values ? normed(v, "v_norm", false) : v;
    return this.add("attention", [queries, keys, values, segments], { heads, scale }, `${name}.attention`);
  }

  /** Joins `merge`² patch rows into a row of the dim `rows`. Default: `tokens`. */
  mergeRows(x: ValueId, merge: number, name: string, rows?: string): ValueId {
    return this.add("merge_rows", [x], { factor: merge ** 2, ...(rows && { rows }) }, `${name}.merge`);
  }

  /** Combines patches with the rows of `learned`, in the order of the layout's `rowSources`. */
  withLearnedRows(patches: ValueId, learned: ValueId, name: string): ValueId {
    return this.add("assemble_rows", [patches, learned, this.#order("rowSources", "rows")], {}, name);
  }

  /** Selects the patch rows of a tower with learned rows, by the layout's `patchRows`. */
  patchesOf(rows: ValueId, name: string): ValueId {
    return this.add("gather_rows", [rows, this.#order("patchRows", "patches")], {}, name);
  }

  /** Combines rows of merged patches with the rows of `learned`, in the order of the layout's `tokenSources`. */
  withLearnedTokens(merged: ValueId, learned: ValueId, name: string): ValueId {
    return this.add("assemble_rows", [merged, learned, this.#order("tokenSources", "tokens")], {}, name);
  }

  /** Combines tokens with the rows of `learned`, in the order of the layout's `tokenOrder`. */
  orderTokens(tokens: ValueId, learned: ValueId, name: string): ValueId {
    return this.add("assemble_rows", [tokens, learned, this.#order("tokenOrder", "tokens")], {}, name);
  }

  /** Tokens in the order of the layout's `tokenOrder`, for towers that order them by window. */
  inTokenOrder(tokens: ValueId, name: string): ValueId {
    return this.add("gather_rows", [tokens, this.#order("tokenOrder", "tokens")], {}, name);
  }

  /** A constant number, read by kernels as a weight. */
  number(name: string, value: number): ValueId {
    return this.weight(name, [1], { literal: [value] });
  }

  /** Weighted sums of the tower's rows by the layout's `tokenTaps`, one per row of the dim `rows`. */
  resampleRows(x: ValueId, name: string, rows = "tokens"): ValueId {
    const taps = (input: "tokenTapRows" | "tokenTapWeights", element: "i32" | "f32") =>
      this.input(MODEL_INPUTS[input], { element, rows: rowsOf(rows), columns: TOKEN_TAPS });
    const operands = [x, taps("tokenTapRows", "i32"), taps("tokenTapWeights", "f32")];
    return this.add("interpolate_rows", operands, {}, name);
  }

  /** Rows with interleaved channels, all scaled alike: the kernel treats them as one channel. */
  #pixelRows({ channels, temporal, patchSize }: PatchForm, channelScale: Float32Array): ValueId {
    const [scale, shift] = channelScale;
    if (channelScale.some((value, index) => value !== (index % 2 === 0 ? scale : shift))) {
      throw new VitgraphError("VG_MODEL_UNSUPPORTED", "image_mean and image_std differ between channels", {
        remedy: "this family normalises all channels alike: check preprocessor_config.json",
      });
    }
    return this.#unpacked(1, 1, channels * temporal * patchSize ** 2, channelScale.slice(0, 2));
  }

  #order(name: "tokenOrder" | "rowSources" | "patchRows" | "tokenSources", dim: string): ValueId {
    return this.input(MODEL_INPUTS[name], { element: "i32", rows: rowsOf(dim), columns: 1 });
  }

  #patchTable(name: PatchTable, element: "i32" | "f32", columns: number): ValueId {
    return this.input(name, { element, rows: rowsOf("patches"), columns });
  }

  /** [q | k | v] as one product, for packed or separate tensors in the checkpoint. */
  #packed(
    x: ValueId,
    name: string,
    projection: PackedProjection,
    { heads, keyValueHeads = heads, bias = true, headOrder }: AttentionOptions,
  ): ValueId {
    const { columns } = this.typeOf(x);
    const group = columns / heads;
    const width = headOrder?.padded === undefined ? columns : heads * product(headOrder.padded);
    const grouped = keyValueHeads < heads && {
      rows: columns + 2 * keyValueHeads * group,
      repeatedRows: { first: columns, group, times: heads / keyValueHeads },
    };
    const [whole, parts] = typeof projection === "string" ? [projection, undefined] : [name, projection];
    const tensor = (kind: "weight" | "bias", shape: readonly number[]): ValueId => {
      return this.weight(`${whole}.${kind}`, shape, {
        ...(parts && { parts: parts.map((part) => `${part}.${kind}`) }),
        ...(headOrder && {
          stored: [3 * columns, ...shape.slice(1)],
          reordered: within(headOrder, [3 * heads], shape.slice(1)),
        }),
        ...(grouped && {
          stored: [grouped.rows, ...shape.slice(1)],
          repeatedRows: grouped.repeatedRows,
        }),
      });
    };
    const weight = tensor("weight", [3 * width, columns]);
    return this.#product(x, weight, bias ? tensor("bias", [3 * width]) : null, name);
  }

  #product(x: ValueId, weight: ValueId, bias: ValueId | null, name: string): ValueId {
    return this.add("linear", [x, weight, bias, null], { activation: "none" }, name);
  }

  /**
   * f32 [positions, paddedSize/2]: the cos/sin table of a two-dimensional RoPE with equal frequencies for rows and
   * columns.
   * @param paddedSize head size with zero columns after each quarter of a head; their angle is 0
   */
  ropeAngles(headSize: number, theta: number, paddedSize = headSize): ValueId {
    const frequencies = ropeFrequencies(headSize / 4, theta, (index) => index / (headSize / 4));
    const padding = new Array<number>((paddedSize - headSize) / 4).fill(0);
    return this.constant("rope_angles", paddedSize / 2, ropeAngles([[...frequencies, ...padding]]));
  }

  /** Like {@link ropeAngles}, followed by the cosines and sines of learned angles at the `LEARNED_POSITION`. */
  learnedRopeAngles(headSize: number, theta: number, tensor: string, stored: readonly number[]): ValueId {
    const frequencies = ropeFrequencies(headSize / 4, theta, (index) => index / (headSize / 4));
    return this.weight(tensor, [MAX_GRID_SIDE + LEARNED_POSITION.length, headSize / 2], {
      stored,
      cosSinTable: ropeAngles([frequencies]),
    });
  }

  /**
   * Like {@link ropeAngles}, with the even ones of headSize/2 frequencies for rows and the odd ones for columns. Column
   * positions start at MAX_GRID_SIDE: see {@link offsetColumns}.
   */
  ropeAnglesByAxis(headSize: number, theta: number): ValueId {
    const axes = [0, 1].map((odd) =>
      ropeFrequencies(headSize / 4, theta, (index) => (2 * index + odd) / (headSize / 2)),
    );
    return this.constant("rope_angles", headSize / 2, ropeAngles(axes));
  }
}

/** The order of an output projection's columns after attention with {@link AttentionOptions.headOrder}. */
export function headColumns(rows: number, heads: number, headOrder: ReorderedElements): ReorderedElements {
  return within(headOrder, [rows, heads], []);
}

/** The order of the rows of a separate projection to queries, keys or values for such attention. */
export function headRows(heads: number, columns: number, headOrder: ReorderedElements): ReorderedElements {
  return within(headOrder, [heads], [columns]);
}

/** Adds axes before and after a permutation of axes, and keeps them in place. */
function within(
  { sides, axes, places, padded }: ReorderedElements,
  outer: readonly number[],
  inner: readonly number[],
): ReorderedElements {
  return {
    sides: [...outer, ...sides, ...inner],
    ...(places && { places: { ...places, axis: places.axis + outer.length } }),
    ...(padded && { padded: [...outer, ...padded, ...inner] }),
    axes: [
      ...outer.keys(),
      ...axes.map((axis) => axis + outer.length),
      ...inner.map((_, axis) => axis + outer.length + sides.length),
    ],
  };
}

const product = (sides: readonly number[]) => sides.reduce((all, side) => all * side, 1);

/** Adds MAX_GRID_SIDE to column positions, which then select the second half of the cos/sin table. */
export function offsetColumns(positions: Int32Array): Int32Array {
  return positions.map((position, index) => (index % 2 === 0 ? position : position + MAX_GRID_SIDE));
}

/** θ^−exponent, with transformers' rounding. */
export function ropeFrequencies(
  count: number,
  theta: number,
  exponent: (index: number) => number,
): readonly number[] {
  return Array.from({ length: count }, (_, index) =>
    Math.fround(1 / Math.fround(theta ** Math.fround(exponent(index)))),
  );
}

/**
 * f32 [MAX_GRID_SIDE · sets, headSize/2]: for each position the cosines of its set's headSize/4 frequencies, then their
 * sines. The angle is a float32 product, as in transformers.
 */
function ropeAngles(sets: readonly (readonly number[])[]): Float32Array {
  const count = (sets[0] as readonly number[]).length;
  const table = new Float32Array(sets.length * MAX_GRID_SIDE * 2 * count);
  for (const [set, frequencies] of sets.entries()) {
    for (const [i, frequency] of frequencies.entries()) {
      for (let position = 0; position < MAX_GRID_SIDE; position++) {
        const angle = Math.fround(position * frequency);
        const row = (set * MAX_GRID_SIDE + position) * 2 * count;
        table[row + i] = Math.cos(angle);
        table[row + count + i] = Math.sin(angle);
      }
    }
  }
  return table;
}
