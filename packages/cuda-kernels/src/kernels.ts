/**
 * The kernels' signatures: the operands of an instruction. One row per kernel, the same in every backend.
 *
 * The native table is generated from this one when the addons are built (scripts/generate-signatures.mjs), so this file
 * imports nothing. The order of the rows is the encoding. Buffers whose name ends in "?" are optional. The last buffer is
 * the output (the last ones, where `outputs` says so); kernels write every column of its real rows and nothing beyond
 * them. Unless a row says otherwise, `x` and `y` have the backend's activation dtype, weights have the checkpoint's, and
 * all arithmetic and accumulation is f32.
 */

export interface KernelSignature {
  readonly buffers: readonly string[];
  /**
   * Each buffer's element type and shape, "class [rows, columns]", against which the decoder checks a program. The class
   * `activation` is the backend's activation dtype, `weight` any of f32, bf16 and f16, `activation|i32` either of the two,
   * but the same in each operand. A symbol is bound by its first use; scalars are referred to by name.
   */
  readonly operandTypes: readonly string[];
  /** Name → how the word is read. */
  readonly scalars: Readonly<Record<string, "u32" | "f32">>;
  /** Inputs (by name) whose memory `y` may share when they are not needed afterwards. */
  readonly inPlace?: readonly string[];
  /** Quotients that must be whole numbers, if no operand type implies it. */
  readonly divisible?: readonly string[];
  /** Buffers that are written: the last ones. Default: 1. */
  readonly outputs?: number;
}

/** Elementwise functions that `linear` and `activation` apply. The order is the encoding. */
export const ACTIVATIONS = ["none", "gelu_tanh", "gelu_erf", "quick_gelu", "silu"] as const;
/** An activation function that a kernel applies. */
export type Activation = (typeof ACTIVATIONS)[number];

/** Values of the scalar `norm`. */
export const NORMS = { layernorm: 1, rmsnorm: 2 } as const;
/** A norm that a kernel applies to rows. */
export type Norm = keyof typeof NORMS;

/** Columns of the row statistics of a matrix of `columns` columns: a mean and squares per 32 of them, and 4 for the backend. */
export function statisticsColumns(columns: number): number {
  return 4 + 2 * Math.ceil(columns / 32);
}

/**
 * How `patch_sources` says where a patch's pixels are: `offset | format`, the offset being bytes from the start of
 * `pixels` and a multiple of 4.
 */
export const PIXEL_FORMATS = {
  /** uint8 [channels, patch, patch]: an image, whose temporal slices repeat. */
  u8_still: 0,
  /** uint8 [channels, temporal, patch, patch]. */
  u8: 1,
  /** f32, already normalised, [channels, temporal, patch, patch]: `pixel_values` of a host. */
  normalized: 2,
} as const;

/**
 * The signature of every kernel: its operands with their dtypes and shapes, its scalars, and which operands the result may
 * overwrite. The native side is generated from this table.
 */
export const KERNELS = {
  /**
   * Patches as the host staged them → normalised rows [patches, channels·temporal·patchArea].
   * `pixels` u8 [patches, bytes]; `patch_sources` i32 [patches, 1], see {@link PIXEL_FORMATS};
   * `channel_scale` f32 [channels, 2]: y = u8 · scale + shift.
   */
  unpack_patches: {
    buffers: ["pixels", "patch_sources", "channel_scale", "y"],
    operandTypes: [
      "u8 [m, bytes]",
      "i32 [m, 1]",
      "f32 [channels, 2]",
      "activation [m, channels*temporal*patch_area]",
    ],
    scalars: { channels: "u32", temporal: "u32", patch_area: "u32" },
  },
  /**
   * y = activation(x · weightᵀ + bias) + residual. x [m, k], weight [n, k], bias [1, n], residual and y [m, n].
   * The rows of y may be strided. On CUDA the fast kernels need rows of all matrices that start at multiples of 16 bytes and
   * an n that is a multiple of 8; any other product goes element by element, some ten times slower.
   */
  linear: {
    buffers: ["x", "weight", "bias?", "residual?", "y"],
    operandTypes: [
      "activation [m, k]",
      "weight [n, k]",
      "weight [1, n]",
      "activation [m, n]",
      "activation [m, n]",
    ],
    scalars: { activation: "u32" },
    inPlace: ["residual?"],
  },
  /**
   * rotation(x · weightᵀ + bias) on the query and key thirds of y [m, 3·heads·headSize], x · weightᵀ + bias on the value
   * third. The rotation is `rope`'s, but pair i of a head is its columns (2i, 2i + 1): the rows of weight and bias are in
   * that order, which leaves the products of queries and keys as they were. The product may be rounded before the rotation.
   */
  linear_rope: {
    buffers: ["x", "weight", "bias?", "positions", "angles", "y"],
    operandTypes: [
      "activation [m, k]",
      "weight [n, k]",
      "weight [1, n]",
      "i32 [m, 2]",
      "f32 [p, n/3/heads/8*4]",
      "activation [m, n]",
    ],
    scalars: { heads: "u32" },
  },
  /** y = (x - mean) / sqrt(variance + epsilon) · weight + bias over each row. x, y [m, n]; weight, bias [1, n]. */
  layernorm: {
    buffers: ["x", "weight", "bias", "y"],
    operandTypes: ["activation [m, n]", "weight [1, n]", "weight [1, n]", "activation [m, n]"],
    scalars: { epsilon: "f32" },
    inPlace: ["x"],
  },
  /** y = activation(x). */
  activation: {
    buffers: ["x", "y"],
    operandTypes: ["activation [m, n]", "activation [m, n]"],
    scalars: { activation: "u32" },
    inPlace: ["x"],
  },
  /** y = a + b. */
  add: {
    buffers: ["a", "b", "y"],
    operandTypes: ["activation [m, n]", "activation [m, n]", "activation [m, n]"],
    scalars: {},
    inPlace: ["a", "b"],
  },
  /**
   * y[i] = Σ weights[i][t] · table[index[i][t]] over the taps t: learned position embeddings interpolated for each patch,
   * or computed rows resized.
   * table [r, n]; `index` i32 [m, taps]; `weights` f32 [m, taps]; y [m, n].
   */
  interpolate_rows: {
    buffers: ["table", "index", "weights", "y"],
    operandTypes: ["weight [r, n]", "i32 [m, taps]", "f32 [m, taps]", "activation [m, n]"],
    scalars: {},
  },
  /**
   * Two-dimensional rotary embedding of every head of x [patches, heads·headSize] by `positions` i32 [patches, 2], row and
   * column. The first half of a head's pairs is rotated by the patch's row, the second by its column; pair i is
   * (i, i + headSize/2).
   * `angles` f32 [positions, headSize/2]: cosines of the headSize/4 frequencies, then their sines.
   */
  rope: {
    buffers: ["x", "positions", "angles", "y"],
    operandTypes: ["activation [m, n]", "i32 [m, 2]", "f32 [p, n/heads/4*2]", "activation [m, n]"],
    scalars: { heads: "u32" },
    inPlace: ["x"],
  },
  /** `rope` on the query and key thirds of qkv [patches, 3·heads·headSize]; the value third is copied. */
  rope_qk: {
    buffers: ["qkv", "positions", "angles", "y"],
    operandTypes: ["activation [m, n]", "i32 [m, 2]", "f32 [p, n/3/heads/4*2]", "activation [m, n]"],
    scalars: { heads: "u32" },
    inPlace: ["qkv"],
  },
  /**
   * softmax(q · kᵀ · scale) · v for each head within each segment. q, k, v, y [patches, heads·headSize], rows may be
   * strided; `cu_seqlens` i32 [segments + 1, 1]: first patch of each segment, then the total. Segments may be empty, and
   * each op of a program may have a list of its own. CUDA takes heads of 64, 72, 80, 96 and 128 columns, in rows that start
   * at multiples of 16 bytes.
   */
  attention: {
    buffers: ["q", "k", "v", "cu_seqlens", "y"],
    operandTypes: [
      "activation [m, n]",
      "activation [m, n]",
      "activation [m, n]",
      "i32 [s, 1]",
      "activation [m, n]",
    ],
    scalars: { heads: "u32", scale: "f32" },
    divisible: ["n/heads"],
  },
  /**
   * y = x / sqrt(mean of x² + epsilon) · (weight + weight_offset) over each row. x, y [m, n]; weight [1, n].
   * weight_offset is 1 for checkpoints that store 1 less than the weight, else 0.
   */
  rmsnorm: {
    buffers: ["x", "weight", "y"],
    operandTypes: ["activation [m, n]", "weight [1, n]", "activation [m, n]"],
    scalars: { epsilon: "f32", weight_offset: "f32" },
    inPlace: ["x"],
  },
  /** y = activation(gate) · up: the middle of a gated MLP. gate and up may be the halves of one packed product. */
  gate: {
    buffers: ["gate", "up", "y"],
    operandTypes: ["activation [m, n]", "activation [m, n]", "activation [m, n]"],
    scalars: { activation: "u32" },
    inPlace: ["gate"],
  },
  /** y[i] = table[index[i]]. table [r, n], `index` i32 [m, 1], y [m, n]. */
  gather_rows: {
    buffers: ["table", "index", "y"],
    operandTypes: ["activation|i32 [r, n]", "i32 [m, 1]", "activation|i32 [m, n]"],
    scalars: {},
  },
  /** y[index[i]] = x[i]; the rows of y that no index names stay as they are. No row may be named twice. */
  scatter_rows: {
    buffers: ["x", "index", "y"],
    operandTypes: ["activation|i32 [m, n]", "i32 [m, 1]", "activation|i32 [r, n]"],
    scalars: {},
  },
  /** `linear` whose residual is read at the rows that an index names: y = activation(x · weightᵀ + bias) + table[index]. */
  linear_gather_rows: {
    buffers: ["x", "weight", "bias?", "table", "index", "y"],
    operandTypes: [
      "activation [m, k]",
      "weight [n, k]",
      "weight [1, n]",
      "activation [r, n]",
      "i32 [m, 1]",
      "activation [m, n]",
    ],
    scalars: { activation: "u32" },
  },
  /**
   * The mean of the k/n groups of n columns that stand side by side in each row: y[r][c] = mean over i of x[r][i·n + c].
   * x [m, k], y [m, n]. A view of n columns that joins rows makes it a mean of rows.
   */
  mean_groups: {
    buffers: ["x", "y"],
    operandTypes: ["activation [m, k]", "activation [m, n]"],
    scalars: {},
    divisible: ["k/n"],
  },
  /**
   * y = x · weightᵀ + bias + residual, or + table[index], and what the norms of y's rows need: `statistics`, of
   * {@link statisticsColumns} columns, whose layout is the backend's own.
   */
  linear_statistics: {
    buffers: ["x", "weight", "bias?", "residual?", "table?", "index?", "statistics", "y"],
    operandTypes: [
      "activation [m, k]",
      "weight [n, k]",
      "weight [1, n]",
      "activation [m, n]",
      "activation [r, n]",
      "i32 [m, 1]",
      "f32 [m, s]",
      "activation [m, n]",
    ],
    scalars: {},
    inPlace: ["residual?"],
    outputs: 2,
  },
  /**
   * y = activation((x · weightᵀ − mean · u) / σ + v): a product of normalised rows, computed from the unnormalised ones.
   * `statistics` [r, s] are theirs; a row of x is r / m of them side by side. `norm`, see {@link NORMS}: mean and σ as in
   * layernorm, or 0 and the root of the mean square.
   */
  linear_norm: {
    buffers: ["x", "weight", "statistics", "u", "v", "y"],
    operandTypes: [
      "activation [m, k]",
      "weight [n, k]",
      "f32 [r, s]",
      "f32 [1, n]",
      "f32 [1, n]",
      "activation [m, n]",
    ],
    scalars: { activation: "u32", norm: "u32", epsilon: "f32" },
  },
  /** `linear_norm` without an activation, and then the rotation of `linear_rope`. */
  linear_norm_rope: {
    buffers: ["x", "weight", "statistics", "u", "v", "positions", "angles", "y"],
    operandTypes: [
      "activation [m, k]",
      "weight [n, k]",
      "f32 [r, s]",
      "f32 [1, n]",
      "f32 [1, n]",
      "i32 [m, 2]",
      "f32 [p, n/3/heads/8*4]",
      "activation [m, n]",
    ],
    scalars: { heads: "u32", norm: "u32", epsilon: "f32" },
  },
  /**
   * y[i] = x[index[i]], or learned[−1 − index[i]] where the index is negative: rows of a tower with class rows, newlines or
   * separators between them. x [r, n], learned [l, n], `index` i32 [m, 1], y [m, n].
   */
  assemble_rows: {
    buffers: ["x", "learned", "index", "y"],
    operandTypes: ["activation [r, n]", "weight [l, n]", "i32 [m, 1]", "activation [m, n]"],
    scalars: {},
  },
  /**
   * `rmsnorm` of each of the groups of columns of a row, such as its heads; without a weight it is 1.
   * x, y [m, n]; weight [1, n / groups].
   */
  rmsnorm_groups: {
    buffers: ["x", "weight?", "y"],
    operandTypes: ["activation [m, n]", "weight [1, n/groups]", "activation [m, n]"],
    scalars: { groups: "u32", epsilon: "f32" },
    inPlace: ["x"],
    divisible: ["n/groups"],
  },
  /** y = min(max(x, low), high). x, y [m, n]; the bounds are numbers of the checkpoint, low and high [1, 1]. */
  clamp: {
    buffers: ["x", "low", "high", "y"],
    operandTypes: ["activation [m, n]", "weight [1, 1]", "weight [1, 1]", "activation [m, n]"],
    scalars: {},
    inPlace: ["x"],
  },
  /** y = (x · factor − shift) · scale for each column. x, y [m, n]; shift and scale [1, n]. */
  standardize: {
    buffers: ["x", "shift", "scale", "y"],
    operandTypes: ["activation [m, n]", "weight [1, n]", "weight [1, n]", "activation [m, n]"],
    scalars: { factor: "f32" },
    inPlace: ["x"],
  },
} as const satisfies Record<string, KernelSignature>;

/** The name of a kernel, the same in TypeScript and native code. */
export type KernelName = keyof typeof KERNELS;
/** The names of {@link KERNELS}. */
export const KERNEL_NAMES = Object.keys(KERNELS) as readonly KernelName[];
