/**
 * The ops of a graph, in one total table keyed by the op.
 *
 * Every value is a matrix. The row count is symbolic (a dim of the model: `patches`, `tokens`, `segments`, …), the
 * column count is a number. The element types `activation` and `weight` are abstract: the target and the checkpoint
 * determine their dtypes. To add an op, add an entry to `OpAttributes` and a row to `OPS`; the type checker lists what
 * is missing.
 */
import { type Activation, type Norm, type RowCount, statisticsColumns } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";

export type { Activation, RowCount } from "@vitgraph/cuda-kernels";

/**
 * A number for each symbolic dimension of a model. Every model has `patches`, the rows of its items, and `tokens`, the
 * rows of its outputs; others are specific to the model.
 */
export interface DimCounts extends Readonly<Record<string, number>> {
  readonly patches: number;
  readonly tokens: number;
}

export type ElementType = "activation" | "weight" | "f32" | "i32" | "u8";

/** The type of a value: a matrix [rows, columns]. The number of rows is known when a batch runs. */
export interface ValueType {
  readonly element: ElementType;
  readonly rows: RowCount;
  readonly columns: number;
}

/**
 * Interleaved RoPE layout: a permutation of the first `rows` rows of a weight. In every head of `headSize` rows, the
 * rows of a RoPE pair (i, i + headSize/2) become adjacent: 0, headSize/2, 1, headSize/2 + 1, … In a vector, each
 * element counts as a row.
 */
export interface PairedRows {
  readonly rows: number;
  readonly headSize: number;
}

/**
 * A permutation of a tensor's elements: the tensor is reshaped to these sides, and its axes are permuted to the order
 * of `axes`.
 */
export interface ReorderedElements {
  readonly sides: readonly number[];
  readonly axes: readonly number[];
  /** The places along one of the sides, in their new order. */
  readonly places?: { readonly axis: number; readonly order: readonly number[] };
  /** The sides in their new order, if some are padded with zeros. */
  readonly padded?: readonly number[];
}

/**
 * Grouped key and value heads: from row `first` of the tensor on, each group of `group` rows is repeated `times` times.
 */
export interface RepeatedRows {
  readonly first: number;
  readonly group: number;
  readonly times: number;
}

/**
 * A square table resized along both axes: row (i, j) of the weight is the sum of the tensor's rows (a, b), each times
 * axis[i][a] · axis[j][b], in float32. The tensor has axis[0].length² rows, the weight axis.length².
 */
export interface ResampledTable {
  readonly axis: readonly (readonly number[])[];
}

/** A tensor of the checkpoint, and its load transforms. `tensor` is its name in the graph, `shape` the final shape. */
export interface WeightAttributes {
  readonly tensor: string;
  readonly shape: readonly number[];
  /** Names of checkpoint tensors of equal size whose rows are concatenated, instead of one tensor. */
  readonly parts?: readonly string[];
  /** The checkpoint's tensor is transposed. */
  readonly transposed?: boolean;
  /** The checkpoint's shape, if it differs. A smaller tensor is padded with zeros. */
  readonly stored?: readonly number[];
  readonly reordered?: ReorderedElements;
  /** The elements, for constants that kernels read as weights. No tensor of the checkpoint is read. */
  readonly literal?: readonly number[];
  /** Requires `stored`. Row numbers refer to `stored`. */
  readonly repeatedRows?: RepeatedRows;
  /** Requires `stored`, the shape of the table before the resize. */
  readonly resampled?: ResampledTable;
  /** The first element read of the checkpoint's tensor, reordered, if it has more elements than the weight. */
  readonly first?: number;
  /** Added to the tensor, in float32. */
  readonly plus?: Pick<WeightAttributes, "tensor" | "stored" | "first">;
  /**
   * Rows of cosines and sines that precede two rows computed from learned angles. Requires `stored`, a tensor with one
   * angle per column. Row k of the two has the cosines, then the sines, of the k-th half of the angles. The weight is
   * float32 on every device.
   */
  readonly cosSinTable?: Float32Array;
  /** Elements appended to the tensor. Requires `stored`, the tensor's shape. */
  readonly appended?: Float32Array;
  /** Cuts each row into parts of this many columns and adds the parts, in float32. Requires `stored`. */
  readonly summedColumns?: number;
  /** Multiplies the elements, in float32. */
  readonly factor?: number;
  /** Layer scale: the name of a checkpoint vector whose element i multiplies row i, in float32. */
  readonly rowScale?: string;
  readonly pairedRows?: PairedRows;
  readonly folded?: FoldedNorm;
}

/**
 * Makes a weight an operand of the kernel `linear_norm`: a norm is folded into the product after it. `part` selects
 * γ ⊙ W, u or v. The other fields are graph names of tensors.
 */
export interface FoldedNorm {
  readonly part: "weight" | "u" | "v";
  readonly norm: Norm;
  /** γ. */
  readonly scale: string;
  /** Added to each element of γ. */
  readonly offset?: number;
  /** β. */
  readonly shift?: string;
  /** Bias of the product. */
  readonly bias?: string;
}

/** The attributes of each op. */
export interface OpAttributes {
  /** A buffer that the host fills before each run. */
  input: { readonly type: ValueType };
  /** A tensor of the checkpoint, by its name under the vision tower's prefix; a matrix of shape[0] × the rest. */
  weight: WeightAttributes;
  /** A matrix that the model computes when it is built. */
  constant: { readonly name: string; readonly columns: number; readonly data: Float32Array };
  /**
   * A table that stays on the device between runs. Another program computes its rows, from `sources` and other values.
   */
  cached: { readonly type: ValueType };
  unpack_patches: { readonly channels: number; readonly temporal: number; readonly patchArea: number };
  linear: { readonly activation: Activation };
  linear_rope: { readonly heads: number };
  layernorm: { readonly epsilon: number };
  activation: { readonly function: Activation };
  add: Record<never, never>;
  interpolate_rows: Record<never, never>;
  rope: { readonly heads: number };
  rope_qk: { readonly heads: number };
  attention: { readonly heads: number; readonly scale: number };
  /** `weightOffset` is added to the weight: 1 for checkpoints that store weight - 1. */
  rmsnorm: { readonly epsilon: number; readonly weightOffset: number };
  gate: { readonly function: Activation };
  mean_groups: { readonly groups: number };
  gather_rows: Record<never, never>;
  /** A negative index selects a row of `learned`: −1 the first. */
  assemble_rows: Record<never, never>;
  rmsnorm_groups: { readonly groups: number; readonly epsilon: number };
  clamp: Record<never, never>;
  standardize: { readonly factor: number };
  linear_gather_rows: { readonly activation: Activation };
  row_statistics: Record<never, never>;
  linear_norm: { readonly activation: Activation; readonly norm: Norm; readonly epsilon: number };
  linear_norm_rope: { readonly heads: number; readonly norm: Norm; readonly epsilon: number };
  /** A view: `count` columns from `start`. */
  slice_columns: { readonly start: number; readonly count: number };
  /** A view: joins `factor` consecutive rows into one of the dim `rows` (default `tokens`). */
  merge_rows: { readonly factor: number; readonly rows?: string };
}

/** The name of an op. */
export type OpKind = keyof OpAttributes;

/** Row counts and attention sizes of one run. */
export interface WorkCounts {
  readonly dims: DimCounts;
  /** Query-key pairs by the dim of the segment list: the sum of each segment's squared row count. */
  readonly attentionPairs: Readonly<Record<string, number>>;
}

/** Types of an op's inputs; `undefined` for an absent optional input. */
type Inputs = readonly (ValueType | undefined)[];

export interface OpDefinition<K extends OpKind> {
  /** Names of the inputs; those ending in "?" are optional. */
  readonly inputs: readonly string[];
  /**
   * `leaf`: no kernel. `view`: no kernel, the input's memory with another shape or stride. `kernel`: runs the kernel of
   * the same name. `companion`: a second output of the kernel that writes the input.
   */
  readonly role: "leaf" | "view" | "kernel" | "companion";
  /** The output's type. @throws VG_GRAPH_INVALID */
  infer(inputs: Inputs, attributes: OpAttributes[K]): ValueType;
  print(attributes: OpAttributes[K]): string;
  /** Floating-point operations of the matrix products in one run, without padding. */
  flops(inputs: Inputs, output: ValueType, work: WorkCounts, attributes: OpAttributes[K]): number;
}

const fixed = (rows: number): RowCount => ({ dim: null, plus: rows });
export const rowsOf = (dim: string, plus = 0): RowCount => ({ dim, plus });

/** The number of rows for these dim counts. @throws VG_GRAPH_INVALID if `counts` lacks the dim */
export function rowCount({ rows }: ValueType, counts: DimCounts): number {
  if (rows.dim === null) return rows.plus;
  const count = counts[rows.dim];
  if (count === undefined) throw new VitgraphError("VG_GRAPH_INVALID", `dim ${rows.dim} has no count`);
  return count + rows.plus;
}

export function printType({ element, rows, columns }: ValueType): string {
  const count = rows.dim === null ? `${rows.plus}` : rows.dim + (rows.plus === 0 ? "" : `+${rows.plus}`);
  return `${element}[${count}, ${columns}]`;
}

function need(inputs: Inputs, index: number, op: OpKind): ValueType {
  const type = inputs[index];
  if (type === undefined) throw invalid(op, `input ${OPS[op].inputs[index]} is missing`);
  return type;
}

function invalid(op: OpKind, problem: string): VitgraphError {
  return new VitgraphError("VG_GRAPH_INVALID", `${op}: ${problem}`, { details: { op } });
}

function checkPairedRows(tensor: string, all: number, { rows, headSize }: PairedRows): void {
  if (rows <= all && rows % headSize === 0 && headSize % 2 === 0) return;
  throw invalid(
    "weight",
    `${rows} of the ${all} rows of ${tensor} do not divide into RoPE pairs in heads of ${headSize}`,
  );
}

function checkReordered(
  tensor: string,
  shape: readonly number[],
  stored: readonly number[],
  { sides, axes, places, padded }: ReorderedElements,
): void {
  const product = (all: readonly number[]) => all.reduce((result, side) => result * side, 1);
  const everyAxis = axes.length === sides.length && sides.every((_, axis) => axes.includes(axis));
  if (places !== undefined) checkPlaces(tensor, sides, places);
  const fits =
    padded === undefined ||
    (padded.length === axes.length &&
      padded.every((side, at) => side >= (sides[axes[at] as number] as number)) &&
      product(padded) === product(shape));
  if (everyAxis && fits && product(sides) === product(stored)) return;
  throw invalid(
    "weight",
    `${tensor} of [${stored.join(", ")}] has no axes ${axes.join(", ")} of [${sides.join(", ")}]`,
  );
}

function checkPlaces(
  tensor: string,
  sides: readonly number[],
  { axis, order }: NonNullable<ReorderedElements["places"]>,
): void {
  const side = sides[axis];
  const sorted = [...order].sort((a, b) => a - b);
  if (order.length === side && sorted.every((place, at) => place === at)) return;
  throw invalid(
    "weight",
    `the places ${order.slice(0, 8).join(", ")} of ${tensor} are not a permutation of the ${side} along axis ${axis}`,
  );
}

function checkRepeatedRows(
  tensor: string,
  [rows = 0]: readonly number[],
  [storedRows = 0]: readonly number[],
  { first, group, times }: RepeatedRows,
): void {
  const repeated = storedRows - first;
  if (repeated >= 0 && repeated % group === 0 && first + repeated * times === rows) return;
  throw invalid(
    "weight",
    `${storedRows} rows of ${tensor}, repeated ${times} times from row ${first} in groups of ${group}, are not ${rows}`,
  );
}

function checkSummed(
  tensor: string,
  shape: readonly number[],
  stored: readonly number[],
  columns: number,
): void {
  const [rows = 0, ...rest] = stored;
  const length = rest.reduce((product, side) => product * side, 1);
  if (length % columns === 0 && shape.reduce((product, side) => product * side, 1) === rows * columns) return;
  throw invalid(
    "weight",
    `sums of ${columns} columns of ${tensor} [${stored.join(", ")}] are not [${shape.join(", ")}]`,
  );
}

function checkResampled(
  tensor: string,
  [rows]: readonly number[],
  [storedRows]: readonly number[],
  { axis }: ResampledTable,
): void {
  const side = axis[0]?.length ?? 0;
  if (rows === axis.length ** 2 && storedRows === side ** 2 && axis.every(({ length }) => length === side))
    return;
  throw invalid(
    "weight",
    `${tensor} of ${storedRows} rows has no ${rows} rows of ${axis.length} × ${side} places`,
  );
}

function checkAngles(
  tensor: string,
  [rows = 0, columns = 0]: readonly number[],
  stored: readonly number[],
  table: Float32Array,
): void {
  const angles = stored.reduce((product, side) => product * side, 1);
  if (angles === columns && angles % 2 === 0 && table.length === (rows - 2) * columns) return;
  throw invalid(
    "weight",
    `${angles} angles of ${tensor} after ${table.length} elements are not ${rows} rows of ${columns}`,
  );
}

function checkAppended(
  tensor: string,
  shape: readonly number[],
  stored: readonly number[],
  appended: Float32Array,
): void {
  const product = (all: readonly number[]) => all.reduce((result, side) => result * side, 1);
  if (product(stored) + appended.length === product(shape)) return;
  throw invalid(
    "weight",
    `${tensor} of [${stored.join(", ")}] and ${appended.length} elements are not [${shape.join(", ")}]`,
  );
}

function sameMatrix(op: OpKind, a: ValueType, b: ValueType): void {
  if (a.columns !== b.columns || a.rows.dim !== b.rows.dim || a.rows.plus !== b.rows.plus) {
    throw invalid(op, `${printType(a)} and ${printType(b)} differ in shape`);
  }
}

function expectColumns(op: OpKind, input: string, type: ValueType, columns: number): void {
  if (type.columns !== columns)
    throw invalid(op, `${input} is ${printType(type)}, expected ${columns} columns`);
}

type NormProduct = "linear_norm" | "linear_norm_rope";

const PRODUCTS = ["linear", "linear_rope", "linear_gather_rows", "linear_norm", "linear_norm_rope"] as const;
type Product = (typeof PRODUCTS)[number];

/** Whether an op is a matrix product: its first inputs are x and the weight. */
export function isProduct(op: OpKind): op is Product {
  return PRODUCTS.some((product) => product === op);
}

/** Result type of a product with its fused ops. Does not check residuals. */
function product(op: Product, inputs: Inputs): ValueType {
  const x = need(inputs, 0, op);
  const weight = need(inputs, 1, op);
  const bias = inputs[2];
  expectColumns(op, "weight", weight, x.columns);
  const y = activation(x.rows, weight.rows.plus);
  if (bias !== undefined) expectColumns(op, "bias", bias, y.columns);
  return y;
}

/** Result type of a product with a folded norm. Inputs: [x, weight, statistics, u, v, …]. */
function normProduct(op: NormProduct, inputs: Inputs): ValueType {
  const y = product(op, inputs.slice(0, 2));
  const statistics = need(inputs, 2, op);
  if (statistics.element !== "f32") throw invalid(op, `statistics is ${printType(statistics)}, expected f32`);
  expectColumns(op, "u", need(inputs, 3, op), y.columns);
  expectColumns(op, "v", need(inputs, 4, op), y.columns);
  return y;
}

const productFlops = ([x]: Inputs, y: ValueType, work: WorkCounts) =>
  2 * rowCount(y, work.dims) * y.columns * (x?.columns ?? 0);

const noFlops = () => 0;
const activation = (rows: RowCount, columns: number): ValueType => ({ element: "activation", rows, columns });

export const OPS: { readonly [K in OpKind]: OpDefinition<K> } = {
  input: {
    inputs: [],
    role: "leaf",
    infer: (_, { type }) => type,
    print: () => "",
    flops: noFlops,
  },
  weight: {
    inputs: [],
    role: "leaf",
    infer(
      _,
      {
        tensor,
        shape,
        stored = shape,
        reordered,
        repeatedRows,
        summedColumns,
        resampled,
        cosSinTable,
        appended,
        pairedRows,
        folded,
      },
    ) {
      if (shape.length === 0) throw invalid("weight", `${tensor} has no dimensions`);
      if (reordered !== undefined) checkReordered(tensor, shape, stored, reordered);
      if (repeatedRows !== undefined) checkRepeatedRows(tensor, shape, stored, repeatedRows);
      if (summedColumns !== undefined) checkSummed(tensor, shape, stored, summedColumns);
      if (resampled !== undefined) checkResampled(tensor, shape, stored, resampled);
      if (cosSinTable !== undefined) checkAngles(tensor, shape, stored, cosSinTable);
      if (appended !== undefined) checkAppended(tensor, shape, stored, appended);
      if (pairedRows !== undefined) checkPairedRows(tensor, shape[0] as number, pairedRows);
      if (folded !== undefined && folded.part !== "weight")
        return { element: "f32", rows: fixed(1), columns: shape[0] as number };
      const vector = shape.length === 1;
      const columns = shape.slice(vector ? 0 : 1).reduce((product, side) => product * side, 1);
      const element = cosSinTable === undefined ? "weight" : "f32";
      return { element, rows: fixed(vector ? 1 : (shape[0] as number)), columns };
    },
    print: ({ tensor }) => tensor,
    flops: noFlops,
  },
  constant: {
    inputs: [],
    role: "leaf",
    infer(_, { name, columns, data }) {
      if (data.length % columns !== 0)
        throw invalid("constant", `${name} has ${data.length} values, not rows of ${columns}`);
      return { element: "f32", rows: fixed(data.length / columns), columns };
    },
    print: ({ name }) => name,
    flops: noFlops,
  },
  cached: {
    inputs: ["sources?"],
    role: "leaf",
    infer: (_, { type }) => type,
    print: () => "",
    flops: noFlops,
  },
  unpack_patches: {
    inputs: ["pixels", "patch_sources", "channel_scale"],
    role: "kernel",
    infer(inputs, { channels, temporal, patchArea }) {
      expectColumns("unpack_patches", "channel_scale", need(inputs, 2, "unpack_patches"), 2);
      return activation(rowsOf("patches"), channels * temporal * patchArea);
    },
    print: ({ channels, temporal, patchArea }) =>
      `channels=${channels} temporal=${temporal} patch_area=${patchArea}`,
    flops: noFlops,
  },
  linear: {
    inputs: ["x", "weight", "bias?", "residual?"],
    role: "kernel",
    infer(inputs) {
      const y = product("linear", inputs);
      const residual = inputs[3];
      if (residual !== undefined) sameMatrix("linear", residual, y);
      return y;
    },
    print: (attributes) => (attributes.activation === "none" ? "" : attributes.activation),
    flops: productFlops,
  },
  linear_rope: {
    inputs: ["x", "weight", "bias?", "positions", "angles"],
    role: "kernel",
    infer(inputs, { heads }) {
      const y = product("linear_rope", inputs);
      expectColumns("linear_rope", "positions", need(inputs, 3, "linear_rope"), 2);
      expectColumns("linear_rope", "angles", need(inputs, 4, "linear_rope"), y.columns / 3 / heads / 2);
      return y;
    },
    print: ({ heads }) => `heads=${heads}`,
    flops: productFlops,
  },
  layernorm: {
    inputs: ["x", "weight", "bias"],
    role: "kernel",
    infer(inputs) {
      const x = need(inputs, 0, "layernorm");
      expectColumns("layernorm", "weight", need(inputs, 1, "layernorm"), x.columns);
      expectColumns("layernorm", "bias", need(inputs, 2, "layernorm"), x.columns);
      return activation(x.rows, x.columns);
    },
    print: ({ epsilon }) => `epsilon=${epsilon}`,
    flops: noFlops,
  },
  activation: {
    inputs: ["x"],
    role: "kernel",
    infer: (inputs) => need(inputs, 0, "activation"),
    print: (attributes) => attributes.function,
    flops: noFlops,
  },
  add: {
    inputs: ["a", "b"],
    role: "kernel",
    infer(inputs) {
      const a = need(inputs, 0, "add");
      sameMatrix("add", a, need(inputs, 1, "add"));
      return a;
    },
    print: () => "",
    flops: noFlops,
  },
  interpolate_rows: {
    inputs: ["table", "index", "weights"],
    role: "kernel",
    infer(inputs) {
      const table = need(inputs, 0, "interpolate_rows");
      const index = need(inputs, 1, "interpolate_rows");
      sameMatrix("interpolate_rows", index, need(inputs, 2, "interpolate_rows"));
      return activation(index.rows, table.columns);
    },
    print: () => "",
    flops: noFlops,
  },
  rope: {
    inputs: ["x", "positions", "angles"],
    role: "kernel",
    infer(inputs, { heads }) {
      const x = need(inputs, 0, "rope");
      expectColumns("rope", "angles", need(inputs, 2, "rope"), x.columns / heads / 2);
      return x;
    },
    print: ({ heads }) => `heads=${heads}`,
    flops: noFlops,
  },
  rope_qk: {
    inputs: ["qkv", "positions", "angles"],
    role: "kernel",
    infer(inputs, { heads }) {
      const qkv = need(inputs, 0, "rope_qk");
      expectColumns("rope_qk", "angles", need(inputs, 2, "rope_qk"), qkv.columns / 3 / heads / 2);
      return qkv;
    },
    print: ({ heads }) => `heads=${heads}`,
    flops: noFlops,
  },
  attention: {
    inputs: ["q", "k", "v", "cu_seqlens"],
    role: "kernel",
    infer(inputs, { heads }) {
      const q = need(inputs, 0, "attention");
      sameMatrix("attention", q, need(inputs, 1, "attention"));
      sameMatrix("attention", q, need(inputs, 2, "attention"));
      expectColumns("attention", "cu_seqlens", need(inputs, 3, "attention"), 1);
      if (q.columns % heads !== 0)
        throw invalid("attention", `${q.columns} columns do not divide into ${heads} heads`);
      return activation(q.rows, q.columns);
    },
    print: ({ heads, scale }) => `heads=${heads} scale=${scale}`,
    flops: (inputs, y, work) =>
      4 * (work.attentionPairs[need(inputs, 3, "attention").rows.dim as string] ?? 0) * y.columns,
  },
  rmsnorm: {
    inputs: ["x", "weight"],
    role: "kernel",
    infer(inputs) {
      const x = need(inputs, 0, "rmsnorm");
      expectColumns("rmsnorm", "weight", need(inputs, 1, "rmsnorm"), x.columns);
      return activation(x.rows, x.columns);
    },
    print: ({ epsilon, weightOffset }) =>
      `epsilon=${epsilon}${weightOffset === 0 ? "" : ` weight_offset=${weightOffset}`}`,
    flops: noFlops,
  },
  gate: {
    inputs: ["gate", "up"],
    role: "kernel",
    infer(inputs) {
      const gate = need(inputs, 0, "gate");
      sameMatrix("gate", gate, need(inputs, 1, "gate"));
      return gate;
    },
    print: (attributes) => attributes.function,
    flops: noFlops,
  },
  mean_groups: {
    inputs: ["x"],
    role: "kernel",
    infer(inputs, { groups }) {
      const x = need(inputs, 0, "mean_groups");
      if (x.columns % groups !== 0)
        throw invalid("mean_groups", `${printType(x)} does not divide into ${groups} groups of columns`);
      return activation(x.rows, x.columns / groups);
    },
    print: ({ groups }) => `groups=${groups}`,
    flops: noFlops,
  },
  gather_rows: {
    inputs: ["table", "index"],
    role: "kernel",
    infer(inputs) {
      const table = need(inputs, 0, "gather_rows");
      const index = need(inputs, 1, "gather_rows");
      expectColumns("gather_rows", "index", index, 1);
      return { ...table, rows: index.rows };
    },
    print: () => "",
    flops: noFlops,
  },
  assemble_rows: {
    inputs: ["x", "learned", "index"],
    role: "kernel",
    infer(inputs) {
      const x = need(inputs, 0, "assemble_rows");
      const index = need(inputs, 2, "assemble_rows");
      expectColumns("assemble_rows", "learned", need(inputs, 1, "assemble_rows"), x.columns);
      expectColumns("assemble_rows", "index", index, 1);
      return activation(index.rows, x.columns);
    },
    print: () => "",
    flops: noFlops,
  },
  rmsnorm_groups: {
    inputs: ["x", "weight?"],
    role: "kernel",
    infer(inputs, { groups }) {
      const x = need(inputs, 0, "rmsnorm_groups");
      if (x.columns % groups !== 0)
        throw invalid("rmsnorm_groups", `${printType(x)} does not divide into ${groups} groups of columns`);
      const weight = inputs[1];
      if (weight !== undefined) expectColumns("rmsnorm_groups", "weight", weight, x.columns / groups);
      return activation(x.rows, x.columns);
    },
    print: ({ groups, epsilon }) => `groups=${groups} epsilon=${epsilon}`,
    flops: noFlops,
  },
  clamp: {
    inputs: ["x", "low", "high"],
    role: "kernel",
    infer(inputs) {
      const x = need(inputs, 0, "clamp");
      expectColumns("clamp", "low", need(inputs, 1, "clamp"), 1);
      expectColumns("clamp", "high", need(inputs, 2, "clamp"), 1);
      return activation(x.rows, x.columns);
    },
    print: () => "",
    flops: noFlops,
  },
  standardize: {
    inputs: ["x", "shift", "scale"],
    role: "kernel",
    infer(inputs) {
      const x = need(inputs, 0, "standardize");
      expectColumns("standardize", "shift", need(inputs, 1, "standardize"), x.columns);
      expectColumns("standardize", "scale", need(inputs, 2, "standardize"), x.columns);
      return activation(x.rows, x.columns);
    },
    print: ({ factor }) => `factor=${factor}`,
    flops: noFlops,
  },
  linear_gather_rows: {
    inputs: ["x", "weight", "bias?", "table", "index"],
    role: "kernel",
    infer(inputs) {
      const y = product("linear_gather_rows", inputs);
      const index = need(inputs, 4, "linear_gather_rows");
      expectColumns("linear_gather_rows", "table", need(inputs, 3, "linear_gather_rows"), y.columns);
      expectColumns("linear_gather_rows", "index", index, 1);
      if (index.rows.dim !== y.rows.dim || index.rows.plus !== y.rows.plus)
        throw invalid(
          "linear_gather_rows",
          `${printType(index)} does not name a row for each of ${printType(y)}`,
        );
      return y;
    },
    print: (attributes) => (attributes.activation === "none" ? "" : attributes.activation),
    flops: productFlops,
  },
  row_statistics: {
    inputs: ["x"],
    role: "companion",
    infer(inputs) {
      const x = need(inputs, 0, "row_statistics");
      return { element: "f32", rows: x.rows, columns: statisticsColumns(x.columns) };
    },
    print: () => "",
    flops: noFlops,
  },
  linear_norm: {
    inputs: ["x", "weight", "statistics", "u", "v"],
    role: "kernel",
    infer: (inputs) => normProduct("linear_norm", inputs),
    print: ({ activation, norm, epsilon }) =>
      `${activation === "none" ? "" : `${activation} `}${norm} epsilon=${epsilon}`,
    flops: productFlops,
  },
  linear_norm_rope: {
    inputs: ["x", "weight", "statistics", "u", "v", "positions", "angles"],
    role: "kernel",
    infer(inputs, { heads }) {
      const y = normProduct("linear_norm_rope", inputs);
      expectColumns("linear_norm_rope", "positions", need(inputs, 5, "linear_norm_rope"), 2);
      expectColumns(
        "linear_norm_rope",
        "angles",
        need(inputs, 6, "linear_norm_rope"),
        y.columns / 3 / heads / 2,
      );
      return y;
    },
    print: ({ heads, norm, epsilon }) => `heads=${heads} ${norm} epsilon=${epsilon}`,
    flops: productFlops,
  },
  slice_columns: {
    inputs: ["x"],
    role: "view",
    infer(inputs, { start, count }) {
      const x = need(inputs, 0, "slice_columns");
      if (start < 0 || count < 1 || start + count > x.columns)
        throw invalid("slice_columns", `columns ${start}..${start + count} of ${printType(x)}`);
      return { ...x, columns: count };
    },
    print: ({ start, count }) => `${start}..${start + count}`,
    flops: noFlops,
  },
  merge_rows: {
    inputs: ["x"],
    role: "view",
    infer(inputs, { factor, rows = "tokens" }) {
      const x = need(inputs, 0, "merge_rows");
      if (x.rows.dim === null || x.rows.plus !== 0)
        throw invalid("merge_rows", `only rows of a dim can be merged, not ${printType(x)}`);
      return { ...x, rows: rowsOf(rows), columns: x.columns * factor };
    },
    print: ({ factor, rows }) => `factor=${factor}${rows === undefined ? "" : ` rows=${rows}`}`,
    flops: noFlops,
  },
};
