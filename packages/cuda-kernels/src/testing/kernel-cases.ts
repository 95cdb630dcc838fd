/**
 * Kernels with data to run on: one generator of shapes and values, shared by the op suite of every backend and the benches.
 *
 * A case is one instruction and the memory around it. Its values are made from its name, so they are the same in every
 * run and on every backend; they are rounded to the dtype that they are stored in.
 */
import {
  ACTIVATIONS,
  type Activation,
  type KernelName,
  NORMS,
  type Norm,
  PIXEL_FORMATS,
  statisticsColumns,
} from "../kernels.js";
import { type ArenaName, DTYPE_BYTES, type DType, type RowCount } from "../program.js";
import { encodeValues, roundValues } from "./element-values.js";

/** A kernel with its operands, for comparison with the reference. */
export interface KernelCase {
  readonly name: string;
  readonly kernel: KernelName;
  readonly activationDType: DType;
  readonly dims: readonly CaseDim[];
  readonly matrices: Readonly<Record<string, CaseMatrix>>;
  /** By the signature's names, without "?": which matrix, or which columns of one. */
  readonly operands: Readonly<Record<string, CaseOperand>>;
  readonly scalars: Readonly<Record<string, number>>;
  /** Runs first, for what the kernel reads that only a kernel of the same backend can write. It changes no values of matrices. */
  readonly before?: CaseInstruction;
  /** Nothing is rounded on the way: y is the reference, to the last bit. */
  readonly exact?: boolean;
}

export interface CaseInstruction {
  readonly kernel: KernelName;
  readonly operands: Readonly<Record<string, CaseOperand>>;
  readonly scalars: Readonly<Record<string, number>>;
}

export interface CaseDim {
  readonly name: string;
  /** What the run brings, below or at the capacity. */
  readonly count: number;
  readonly capacity: number;
}

/** A region of memory of its own. */
export interface CaseMatrix {
  /** What is in `scratch` is not looked at after the run. */
  readonly arena: ArenaName;
  readonly dtype: DType;
  readonly rows: RowCount;
  readonly columns: number;
  readonly rowStride: number;
  /** The real rows, dense. Absent where nothing is written before the run. */
  readonly values?: Float64Array;
}

export interface CaseOperand {
  readonly matrix: string;
  readonly firstColumn: number;
  readonly columns: number;
  /** Default: the matrix's. */
  readonly rows?: RowCount;
  readonly rowStride?: number;
}

/** What any case may vary. */
export interface CaseOptions {
  /** Default f32. */
  readonly activationDType?: DType;
  /** Default f32. */
  readonly weightDType?: DType;
  /** Rows that the buffers have beyond the real ones. Default 3. */
  readonly spareRows?: number;
  /** Puts a gap after every row of the activations, of an odd number of elements. */
  readonly strided?: boolean;
  /** Starts every row of activations and weights at a multiple of 8 elements, 16 bytes of bf16: the rest is a gap. */
  readonly aligned?: boolean;
  /** The input whose memory the output takes. */
  readonly inPlace?: string;
}

export interface LinearShape extends CaseOptions {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly activation?: Activation;
}

/** A product [m, k] × [n, k]ᵀ with what the kernel may add: bias, activation, residual. */
export function linearCase(shape: LinearShape): KernelCase {
  const { m, n, k, bias = false, residual = false, activation = "none" } = shape;
  const parts = [
    `${m}×${n}×${k}`,
    shape.weightDType ?? "f32",
    bias && "bias",
    activation,
    residual && "residual",
  ];
  const c = new CaseBuilder("linear", parts, shape).dim("m", m);
  // Scaled as a trained layer is, so that y is of the order of 1 whatever k is.
  c.activation("x", "m", k).weight("weight", n, k, 1 / Math.sqrt(k));
  if (bias) c.weight("bias", 1, n);
  if (residual) c.activation("residual", "m", n);
  return c.scalar("activation", ACTIVATIONS.indexOf(activation)).output("m", n);
}

/** `linear` with a table of `tableRows` whose rows an index names, in no order and more than once. */
export function linearGatherRowsCase(
  shape: Omit<LinearShape, "residual"> & { readonly tableRows: number },
): KernelCase {
  const { m, n, k, bias = false, activation = "none", tableRows } = shape;
  const parts = [`${m}×${n}×${k}`, `table of ${tableRows}`, bias && "bias", activation];
  const c = new CaseBuilder("linear_gather_rows", parts, shape).dim("m", m).dim("rows", tableRows);
  c.activation("x", "m", k).weight("weight", n, k, 1 / Math.sqrt(k));
  if (bias) c.weight("bias", 1, n);
  return c
    .activation("table", "rows", n)
    .index("index", "m", 1, spreadRows(m, tableRows))
    .scalar("activation", ACTIVATIONS.indexOf(activation))
    .output("m", n);
}

/** A product that writes the statistics of its rows: with a residual, with a table's rows, or with neither. */
export function linearStatisticsCase(
  shape: Omit<LinearShape, "activation"> & { readonly tableRows?: number },
): KernelCase {
  const { m, n, k, bias = false, residual = false, tableRows } = shape;
  const parts = [
    `${m}×${n}×${k}`,
    bias && "bias",
    residual && "residual",
    tableRows !== undefined && `table of ${tableRows}`,
  ];
  const c = new CaseBuilder("linear_statistics", parts, shape).dim("m", m);
  c.activation("x", "m", k).weight("weight", n, k, 1 / Math.sqrt(k));
  if (bias) c.weight("bias", 1, n);
  if (residual) c.activation("residual", "m", n);
  if (tableRows !== undefined) {
    c.dim("rows", tableRows).activation("table", "rows", n);
    c.index("index", "m", 1, spreadRows(m, tableRows));
  }
  return c.statistics("m", n).output("m", n);
}

export interface LinearNormShape extends CaseOptions {
  readonly m: number;
  readonly n: number;
  /** Columns of the rows that were written. */
  readonly k: number;
  /** Rows that are read as one. Default 1. */
  readonly joined?: number;
  readonly norm: Norm;
  /** Of the rows, in deviations. Default 0. */
  readonly mean?: number;
  /** One column is 1e4 in every row. */
  readonly channel?: boolean;
  readonly activation?: Activation;
  /** With the rotation: heads, and the grid's width; n is 3 · heads · headSize. */
  readonly heads?: number;
}

export function linearNormCase(shape: LinearNormShape): KernelCase {
  const { m, n, k, joined = 1, norm, mean = 0, channel = false, activation = "none", heads } = shape;
  const kernel = heads === undefined ? "linear_norm" : "linear_norm_rope";
  const parts = [
    `${m}×${n}×${joined === 1 ? k : `${joined}·${k}`}`,
    norm,
    `mean ${mean}`,
    channel && "a channel of 1e4",
    activation !== "none" && activation,
    heads !== undefined && `${heads} heads`,
  ];
  const c = new CaseBuilder(kernel, parts, shape).dim("m", m).dimOf("written", "m", joined);
  const columns = joined * k;
  let at = 0;
  c.activation("x", "m", columns, (value) => (channel && at++ % k === 3 ? 1e4 : value + mean))
    .weight("weight", n, columns, 1 / Math.sqrt(columns))
    .statistics("written", k)
    .table("u", [c.rowSums("weight")])
    .floats("v", n);
  if (heads === undefined) c.scalar("activation", ACTIVATIONS.indexOf(activation));
  else {
    const positions = gridPositions(m, 1);
    c.index("positions", "m", 2, positions.flat())
      .table("angles", anglesFor([m, 1], n / 3 / heads))
      .scalar("heads", heads);
  }
  return c.scalar("norm", NORMS[norm]).scalar("epsilon", 1e-6).statisticsFirst("written", k).output("m", n);
}

export interface RowsShape extends CaseOptions {
  readonly m: number;
  readonly n: number;
}

/** A layer norm over the n columns of [m, n]. */
export function layernormCase(shape: RowsShape & { readonly mean?: number }): KernelCase {
  const { m, n, mean = 0.5 } = shape;
  const c = new CaseBuilder(
    "layernorm",
    [`${m}×${n}`, shape.weightDType ?? "f32", `mean ${mean}`],
    shape,
  ).dim("m", m);
  return c
    .activation("x", "m", n, (value) => value + mean)
    .weight("weight", 1, n)
    .weight("bias", 1, n)
    .scalar("epsilon", 1e-6)
    .output("m", n);
}

/** An activation of [m, n]. */
export function activationCase(shape: RowsShape & { readonly activation: Activation }): KernelCase {
  const { m, n, activation } = shape;
  return (
    new CaseBuilder("activation", [`${m}×${n}`, activation], shape)
      .dim("m", m)
      // Far enough for every function to reach both of its ends.
      .activation("x", "m", n, (value) => 4 * value)
      .scalar("activation", ACTIVATIONS.indexOf(activation))
      .output("m", n)
  );
}

export function addCase(shape: RowsShape): KernelCase {
  const { m, n } = shape;
  return new CaseBuilder("add", [`${m}×${n}`], shape)
    .dim("m", m)
    .activation("a", "m", n)
    .activation("b", "m", n)
    .output("m", n);
}

export function rmsnormCase(
  shape: RowsShape & { readonly mean?: number; readonly weightOffset?: number },
): KernelCase {
  const { m, n, mean = 0.5, weightOffset = 0 } = shape;
  const tags = [`${m}×${n}`, shape.weightDType ?? "f32", `mean ${mean}`, `offset ${weightOffset}`];
  return new CaseBuilder("rmsnorm", tags, shape)
    .dim("m", m)
    .activation("x", "m", n, (value) => value + mean)
    .weight("weight", 1, n)
    .scalar("epsilon", 1e-6)
    .scalar("weight_offset", weightOffset)
    .output("m", n);
}

export function gateCase(
  shape: RowsShape & { readonly activation: Activation; readonly packed?: boolean },
): KernelCase {
  const { m, n, activation, packed = false } = shape;
  const c = new CaseBuilder("gate", [`${m}×${n}`, activation, packed && "halves of one product"], shape).dim(
    "m",
    m,
  );
  if (packed)
    c.activation("product", "m", 2 * n)
      .view("gate", "product", 0, n)
      .view("up", "product", n, n);
  else c.activation("gate", "m", n, (value) => 4 * value).activation("up", "m", n);
  return c.scalar("activation", ACTIVATIONS.indexOf(activation)).output("m", n);
}

export interface IndexedRowsShape extends RowsShape {
  /** Rows of the table that the index leads into. */
  readonly tableRows: number;
  /** Default: the activation dtype. */
  readonly i32?: boolean;
}

export function gatherRowsCase(shape: IndexedRowsShape): KernelCase {
  const { m, n, tableRows, i32 = false } = shape;
  const c = new CaseBuilder("gather_rows", [`${m} of ${tableRows} rows of ${n}`, i32 && "i32"], shape)
    .dim("m", m)
    .dim("rows", tableRows);
  if (i32) c.integers("table", "rows", n);
  else c.activation("table", "rows", n);
  c.index("index", "m", 1, spreadRows(m, tableRows));
  return i32 ? c.integers("y", "m", n, false).build() : c.output("m", n);
}

/** The table has values before the run: rows that no index names must keep them. */
export function scatterRowsCase(shape: IndexedRowsShape): KernelCase {
  const { m, n, tableRows, i32 = false } = shape;
  const c = new CaseBuilder("scatter_rows", [`${m} to ${tableRows} rows of ${n}`, i32 && "i32"], shape)
    .dim("m", m)
    .dim("rows", tableRows);
  if (i32) c.integers("x", "m", n).integers("y", "rows", n);
  else c.activation("x", "m", n).activation("y", "rows", n);
  return c.index("index", "m", 1, spreadRows(m, tableRows)).build();
}

export function assembleRowsCase(shape: IndexedRowsShape & { readonly learnedRows: number }): KernelCase {
  const { m, n, tableRows, learnedRows } = shape;
  const tags = [`${m} of ${tableRows} rows and ${learnedRows} of ${n}`, shape.weightDType ?? "f32"];
  // Every third row is a learned one.
  const learned = spreadRows(m, learnedRows);
  const index = spreadRows(m, tableRows).map((row, at) =>
    at % 3 === 0 ? -1 - (learned[at] as number) : row,
  );
  return new CaseBuilder("assemble_rows", tags, shape)
    .dim("m", m)
    .dim("rows", tableRows)
    .activation("x", "rows", n)
    .weight("learned", learnedRows, n)
    .index("index", "m", 1, index)
    .output("m", n);
}

export function rmsnormGroupsCase(
  shape: RowsShape & { readonly groups: number; readonly weight?: boolean },
): KernelCase {
  const { m, n, groups, weight = true } = shape;
  const tags = [`${m}×${groups}×${n}`, weight && (shape.weightDType ?? "f32")];
  const c = new CaseBuilder("rmsnorm_groups", tags, shape).dim("m", m).activation("x", "m", groups * n);
  if (weight) c.weight("weight", 1, n);
  return c
    .scalar("groups", groups)
    .scalar("epsilon", 1e-6)
    .output("m", groups * n);
}

export function clampCase(shape: RowsShape & { readonly low: number; readonly high: number }): KernelCase {
  const { m, n, low, high } = shape;
  const c = new CaseBuilder("clamp", [`${m}×${n}, ${low} to ${high}`, shape.weightDType ?? "f32"], shape);
  return c
    .dim("m", m)
    .activation("x", "m", n)
    .weight("low", 1, 1, 0, low)
    .weight("high", 1, 1, 0, high)
    .output("m", n);
}

export function standardizeCase(shape: RowsShape): KernelCase {
  const { m, n } = shape;
  return new CaseBuilder("standardize", [`${m}×${n}`, shape.weightDType ?? "f32"], shape)
    .dim("m", m)
    .activation("x", "m", n)
    .weight("shift", 1, n)
    .weight("scale", 1, n)
    .scalar("factor", Math.fround(Math.sqrt(n)))
    .output("m", n);
}

export function meanGroupsCase(shape: RowsShape & { readonly groups: number }): KernelCase {
  const { m, n, groups } = shape;
  return new CaseBuilder("mean_groups", [`${m}×${n}, ${groups} groups`], shape)
    .dim("m", m)
    .activation("x", "m", groups * n)
    .output("m", n);
}

export interface InterpolateRowsShape extends IndexedRowsShape {
  readonly taps: number;
  /** Weights of 1, where a row has one tap: rows of the table as they are. */
  readonly plain?: boolean;
  /** The table is what the run computed before: activations, whose rows are counted at run time. */
  readonly computed?: boolean;
}

export function interpolateRowsCase(shape: InterpolateRowsShape): KernelCase {
  const { m, n, tableRows, taps, plain = false, computed = false } = shape;
  const table = computed ? "computed" : (shape.weightDType ?? "f32");
  const parts = [`${m} rows of ${n}, ${taps} of ${tableRows} each`, table];
  const builder = new CaseBuilder("interpolate_rows", parts, shape).dim("m", m);
  const withTable = computed
    ? builder.dim("r", tableRows).activation("table", "r", n)
    : builder.weight("table", tableRows, n);
  return withTable
    .index("index", "m", taps, spreadRows(m * taps, tableRows))
    .staged("weights", "m", taps, plain ? 1 : undefined)
    .exact(plain && taps === 1)
    .output("m", n);
}

export interface RopeShape extends CaseOptions {
  readonly kernel: "rope" | "rope_qk";
  readonly heads: number;
  readonly headSize: number;
  readonly grid: readonly [number, number];
}

/** A rotary embedding over a grid of positions. */
export function ropeCase(shape: RopeShape): KernelCase {
  const { kernel, heads, headSize, grid } = shape;
  const positions = gridPositions(...grid);
  const columns = heads * headSize * (kernel === "rope" ? 1 : 3);
  return new CaseBuilder(kernel, [`${heads} heads of ${headSize}, ${grid.join("×")}`], shape)
    .dim("patches", positions.length)
    .activation(kernel === "rope" ? "x" : "qkv", "patches", columns)
    .index("positions", "patches", 2, positions.flat())
    .table("angles", anglesFor(grid, headSize))
    .scalar("heads", heads)
    .output("patches", columns);
}

export interface LinearRopeShape extends CaseOptions {
  readonly k: number;
  readonly heads: number;
  readonly headSize: number;
  readonly grid: readonly [number, number];
  readonly bias?: boolean;
}

export function linearRopeCase(shape: LinearRopeShape): KernelCase {
  const { k, heads, headSize, grid, bias = true } = shape;
  const positions = gridPositions(...grid);
  const columns = 3 * heads * headSize;
  const parts = [
    `${heads} heads of ${headSize} from ${k}, ${grid.join("×")}`,
    shape.weightDType ?? "f32",
    bias && "bias",
  ];
  const c = new CaseBuilder("linear_rope", parts, shape).dim("patches", positions.length);
  c.activation("x", "patches", k).weight("weight", columns, k, 1 / Math.sqrt(k));
  if (bias) c.weight("bias", 1, columns);
  return c
    .index("positions", "patches", 2, positions.flat())
    .table("angles", anglesFor(grid, headSize))
    .scalar("heads", heads)
    .output("patches", columns);
}

export interface AttentionShape extends CaseOptions {
  /** Patches of each segment. */
  readonly segments: readonly number[];
  readonly heads: number;
  readonly headSize: number;
  /** q, k and v are the thirds of one matrix. */
  readonly thirds?: boolean;
  /** Multiplies the logits: a large one makes the softmax pick single keys. */
  readonly sharpness?: number;
}

/** Attention within segments of the given lengths. */
export function attentionCase(shape: AttentionShape): KernelCase {
  const { segments, heads, headSize, thirds = false, sharpness = 1 } = shape;
  const columns = heads * headSize;
  const bounds = [0];
  for (const length of segments) bounds.push(bounds.at(-1)! + length);
  const c = new CaseBuilder(
    "attention",
    [
      `${heads} heads of ${headSize}, ${printLengths(segments)}`,
      thirds && "thirds of qkv",
      `sharpness ${sharpness}`,
    ],
    shape,
  )
    .dim("patches", bounds.at(-1)!)
    .dim("segments", segments.length);
  if (thirds) {
    c.activation("qkv", "patches", 3 * columns);
    for (const [third, name] of ["q", "k", "v"].entries()) c.view(name, "qkv", third * columns, columns);
  } else {
    for (const name of ["q", "k", "v"]) c.activation(name, "patches", columns);
  }
  return c
    .index("cu_seqlens", { dim: "segments", plus: 1 }, 1, bounds)
    .scalar("heads", heads)
    .scalar("scale", sharpness / Math.sqrt(headSize))
    .output("patches", columns);
}

export interface UnpackShape extends CaseOptions {
  readonly channels: number;
  readonly temporal: number;
  readonly patchArea: number;
  /** Of each patch. */
  readonly formats: readonly (keyof typeof PIXEL_FORMATS)[];
}

export function unpackPatchesCase(shape: UnpackShape): KernelCase {
  const { channels, temporal, patchArea, formats } = shape;
  const columns = channels * temporal * patchArea;
  const c = new CaseBuilder(
    "unpack_patches",
    [`${channels}·${temporal}·${patchArea}`, formats.join(" ")],
    shape,
  ).dim("patches", formats.length);
  // The widest format: normalised f32.
  const rowBytes = columns * DTYPE_BYTES.f32;
  const pixels = new Float64Array(formats.length * rowBytes);
  const sources: number[] = [];
  let at = 0;
  for (const format of formats) {
    sources.push(at | PIXEL_FORMATS[format]);
    const bytes = c.pixelBytes(format, channels * patchArea, temporal);
    pixels.set(bytes, at);
    at += Math.ceil(bytes.length / 4) * 4;
  }
  return c
    .bytes("pixels", "patches", rowBytes, pixels)
    .index("patch_sources", "patches", 1, sources)
    .table(
      "channel_scale",
      Array.from({ length: channels }, (_, channel) => [1 / (50 + 10 * channel), -0.1 * (channel + 1)]),
    )
    .scalar("channels", channels)
    .scalar("temporal", temporal)
    .scalar("patch_area", patchArea)
    .output("patches", columns);
}

/** Rows of windows as Qwen2.5-VL cuts an image: 8×8 patches, less at the edges. */
const WINDOWS: readonly number[] = [64, 64, 16, 0, 4, 64, 1, 1, 48, 8, 64, 0, 0, 2, 64];

/**
 * More elements than the device holds threads at once, 2048 on each of up to 188 multiprocessors, and rows too odd for
 * vectors: threads of elementwise kernels take a second step.
 */
const MANY_ELEMENTS = { m: 390, n: 1001 };

/** Every kernel on shapes that catch what kernels get wrong: odd sizes, single rows, gaps, sharing, tails of every tile. */
export function kernelCases(activationDType: DType = "f32"): readonly KernelCase[] {
  const common = { activationDType };
  const weightDTypes = ["f32", "bf16", "f16"] as const;
  return [
    ...[
      { formats: ["u8_still", "u8", "normalized"] },
      { formats: ["u8"] },
      { formats: ["normalized", "u8_still", "u8_still", "u8", "normalized"], strided: true },
      // An area of 49 leaves patches that don't end on a word.
      { formats: ["u8_still", "u8", "u8_still"], patchArea: 49 },
      { formats: ["u8_still", "u8"], channels: 1, temporal: 1, patchArea: 5 },
      // Patches of SigLIP: 588 columns.
      { formats: ["u8_still", "normalized", "u8"], temporal: 1, patchArea: 196 },
      { formats: ["u8_still", "normalized", "u8"], temporal: 1, patchArea: 196, aligned: true },
    ].map((shape) =>
      unpackPatchesCase({ channels: 3, temporal: 2, patchArea: 64, ...common, ...shape } as UnpackShape),
    ),

    // Below, at and above the tiles of every instruction set; more than one block of each axis; k beyond one pack.
    ...[
      [1, 1, 1],
      [1, 33, 7],
      [3, 5, 257],
      [14, 32, 16],
      [15, 31, 255],
      [29, 97, 300],
      [170, 390, 70],
      [64, 1, 40],
      [345, 65, 513],
    ].flatMap(([m, n, k]) =>
      weightDTypes.map((weightDType) =>
        linearCase({ m: m!, n: n!, k: k!, weightDType, bias: true, ...common }),
      ),
    ),
    ...ACTIVATIONS.map((activation) =>
      linearCase({ m: 9, n: 35, k: 48, bias: true, residual: true, activation, ...common }),
    ),
    linearCase({ m: 20, n: 50, k: 600, residual: true, inPlace: "residual", ...common }),
    linearCase({
      m: 20,
      n: 50,
      k: 600,
      residual: true,
      inPlace: "residual",
      activation: "gelu_tanh",
      strided: true,
      ...common,
    }),
    linearCase({ m: 6, n: 19, k: 21, strided: true, bias: true, ...common }),
    linearCase({ m: 5, n: 40, k: 24, spareRows: 0, ...common }),
    linearCase({ m: 0, n: 40, k: 24, bias: true, ...common }),
    // Columns that are no multiple of 8: the MLP of Qwen2.5-VL (3420, and 6840 for gate and up in one) and the patches of
    // SigLIP (588). With rows side by side, and with rows at multiples of 16 bytes.
    ...[false, true].flatMap((aligned) => [
      linearCase({ m: 37, n: 72, k: 3420, bias: true, residual: true, aligned, ...common }),
      linearCase({ m: 37, n: 72, k: 3420, residual: true, inPlace: "residual", aligned, ...common }),
      linearCase({ m: 5, n: 3420, k: 40, bias: true, activation: "silu", aligned, ...common }),
      linearCase({ m: 5, n: 3420, k: 40, residual: true, inPlace: "residual", aligned, ...common }),
      linearCase({ m: 5, n: 6840, k: 40, bias: true, aligned, ...common }),
      linearCase({ m: 3, n: 3420, k: 84, bias: true, aligned, ...common }),
      linearCase({ m: 130, n: 152, k: 588, bias: true, weightDType: "bf16", aligned, ...common }),
      linearCase({ m: 9, n: 16, k: 3, aligned, ...common }),
    ]),
    // The MLP of SigLIP.
    linearCase({ m: 70, n: 4304, k: 24, bias: true, activation: "gelu_tanh", ...common }),
    linearCase({ m: 21, n: 24, k: 4304, bias: true, residual: true, ...common }),

    ...[
      { m: 1, n: 1 },
      { m: 3, n: 7 },
      { m: 5, n: 72, inPlace: "x" },
      { m: 2, n: 1152, weightDType: "bf16" },
      // A mean that dwarfs the deviation: the difference of mean squares would lose every digit.
      { m: 4, n: 1000, mean: 1000, weightDType: "f16" },
      { m: 130, n: 130, strided: true },
      { m: 0, n: 8 },
    ].map((shape) => layernormCase({ ...common, ...shape } as Parameters<typeof layernormCase>[0])),

    ...ACTIVATIONS.flatMap((activation) => [
      activationCase({ m: 7, n: 37, activation, ...common }),
      activationCase({ m: 2, n: 64, activation, inPlace: "x", strided: true, ...common }),
    ]),

    addCase({ m: 3, n: 5, ...common }),
    addCase({ m: 400, n: 41, strided: true, ...common }),
    addCase({ m: 3, n: 32, inPlace: "a", ...common }),
    addCase({ m: 3, n: 32, inPlace: "b", ...common }),
    ...[588, 3420].flatMap((n) =>
      [false, true].flatMap((aligned) => [
        addCase({ m: 4, n, aligned, ...common }),
        addCase({ m: 4, n, inPlace: "a", aligned, ...common }),
        activationCase({ m: 4, n, activation: "silu", aligned, ...common }),
        rmsnormCase({ m: 4, n, aligned, ...common }),
        layernormCase({ m: 4, n, aligned, ...common }),
        gatherRowsCase({ m: 6, n, tableRows: 9, aligned, ...common }),
        scatterRowsCase({ m: 6, n, tableRows: 9, aligned, ...common }),
      ]),
    ),

    ...[
      // Bilinear, bicubic, a plain table, and many taps, as of an antialiased one.
      { m: 24, n: 24, tableRows: 2304, taps: 4 },
      { m: 19, n: 7, tableRows: 2304, taps: 4 },
      { m: 77, n: 16, tableRows: 16, taps: 4, weightDType: "bf16" },
      { m: 33, n: 40, tableRows: 49, taps: 16 },
      { m: 4096, n: 24, tableRows: 4096, taps: 1, plain: true },
      { m: 4096, n: 3, tableRows: 4096, taps: 1, plain: true, weightDType: "bf16" },
      { m: 4, n: 3, tableRows: 1, taps: 2 },
      { m: 9, n: 33, tableRows: 25, taps: 5, weightDType: "f16", strided: true },
      { m: 5, n: 8, tableRows: 100, taps: 61 },
      { m: 33, n: 40, tableRows: 70, taps: 4, computed: true },
      { m: 6, n: 24, tableRows: 9, taps: 4, computed: true, strided: true },
    ].map((shape) => interpolateRowsCase({ ...common, ...shape } as unknown as InterpolateRowsShape)),
    // Heads that end within a tile, below it and beyond it; one and several tiles of rows.
    ...[
      { k: 24, heads: 1, headSize: 8, grid: [1, 1] },
      { k: 40, heads: 2, headSize: 72, grid: [5, 7], weightDType: "bf16" },
      { k: 144, heads: 4, headSize: 72, grid: [11, 19] },
      { k: 600, heads: 3, headSize: 80, grid: [2, 3], bias: false, weightDType: "f16" },
      { k: 33, heads: 2, headSize: 64, grid: [3, 2], strided: true },
      { k: 60, heads: 16, headSize: 80, grid: [9, 15] },
      { k: 60, heads: 3, headSize: 80, grid: [4, 7], aligned: true },
      { k: 588, heads: 1, headSize: 80, grid: [3, 3], aligned: true, weightDType: "bf16" },
    ].map((shape) => linearRopeCase({ ...common, ...shape } as unknown as LinearRopeShape)),

    ...(["rope", "rope_qk"] as const).flatMap((kernel) => [
      ropeCase({ kernel, heads: 1, headSize: 4, grid: [1, 1], ...common }),
      ropeCase({ kernel, heads: 3, headSize: 72, grid: [5, 7], ...common }),
      ropeCase({
        kernel,
        heads: 2,
        headSize: 80,
        grid: [2, 3],
        inPlace: kernel === "rope" ? "x" : "qkv",
        ...common,
      }),
      ropeCase({ kernel, heads: 2, headSize: 64, grid: [3, 2], strided: true, ...common }),
      ropeCase({ kernel, heads: 16, headSize: 80, grid: [7, 11], ...common }),
    ]),

    ...[
      { segments: [1], heads: 1, headSize: 1 },
      { segments: [5], heads: 2, headSize: 72, thirds: true },
      { segments: [0, 3, 0, 0, 17, 1, 0], heads: 3, headSize: 16 },
      // More keys than a block has, more queries than a tile has.
      { segments: [300, 20], heads: 1, headSize: 64, thirds: true },
      { segments: [520], heads: 1, headSize: 20, sharpness: 30 },
      { segments: [9, 40], heads: 1, headSize: 300, strided: true },
      { segments: [16, 16, 16, 16], heads: 4, headSize: 80, thirds: true },
      { segments: [7], heads: 2, headSize: 96 },
      { segments: [33], heads: 1, headSize: 128, sharpness: 100 },
      { segments: [], heads: 2, headSize: 8 },
      // Windows: full ones, those at an image's edges, single rows, and empty ones between them.
      ...[64, 72, 80, 96, 128].flatMap((headSize) => [
        { segments: [64, 64, 64], heads: 2, headSize, thirds: true },
        { segments: [...WINDOWS, 0], heads: 2, headSize, thirds: true },
        { segments: WINDOWS.toReversed(), heads: 1, headSize, sharpness: 30 },
      ]),
      { segments: Array.from({ length: 40 }, () => 16), heads: 4, headSize: 80, thirds: true },
      { segments: Array.from({ length: 300 }, () => 1), heads: 2, headSize: 80 },
      { segments: Array.from({ length: 70 }, (_, i) => [4, 0, 1][i % 3]!), heads: 2, headSize: 72 },
    ].map((shape) => attentionCase({ ...common, ...shape })),

    ...[
      { m: 1, n: 1 },
      { m: 3, n: 7 },
      { m: 5, n: 72, inPlace: "x" },
      { m: 2, n: 1280, weightDType: "bf16" },
      { m: 4, n: 1000, mean: 1000, weightDType: "f16" },
      { m: 130, n: 130, strided: true },
      { m: 3, n: 1152, weightDType: "bf16", weightOffset: 1 },
      { m: 3, n: 27, weightOffset: 1 },
      // Beyond a warp's registers on a GPU, and beyond a block's.
      { m: 3, n: 5120 },
      { m: 2, n: 8200 },
      { m: 0, n: 8 },
    ].map((shape) => rmsnormCase({ ...common, ...shape } as Parameters<typeof rmsnormCase>[0])),

    ...ACTIVATIONS.flatMap((activation) => [
      gateCase({ m: 7, n: 37, activation, ...common }),
      gateCase({ m: 3, n: 64, activation, packed: true, ...common }),
    ]),
    gateCase({ m: 300, n: 40, activation: "silu", inPlace: "gate", strided: true, ...common }),
    gateCase({ m: 5, n: 19, activation: "silu", packed: true, ...common }),
    // A half that starts on 8 bytes of bf16, and not on 16.
    gateCase({ m: 6, n: 20, activation: "silu", packed: true, ...common }),
    gateCase({ m: 0, n: 8, activation: "silu", ...common }),
    // Of Qwen2.5-VL: the second half starts at byte 6840, 8 bytes off a multiple of 16.
    gateCase({ m: 5, n: 3420, activation: "silu", packed: true, ...common }),
    ...[false, true].flatMap((aligned) => [
      gateCase({ m: 5, n: 3420, activation: "silu", aligned, ...common }),
      gateCase({ m: 5, n: 3420, activation: "silu", inPlace: "gate", aligned, ...common }),
      gateCase({ m: 5, n: 3422, activation: "silu", packed: true, aligned, ...common }),
    ]),
    gateCase({ m: 5, n: 3420, activation: "gelu_tanh", packed: true, aligned: true, ...common }),
    gateCase({ m: 4, n: 3424, activation: "silu", packed: true, ...common }),

    ...[
      { m: 1, n: 1, tableRows: 1 },
      { m: 9, n: 7, tableRows: 5 },
      { m: 70, n: 1152, tableRows: 300 },
      { m: 13, n: 24, tableRows: 40, strided: true },
      { m: 33, n: 4, tableRows: 50, i32: true },
      { m: 6, n: 3, tableRows: 9, i32: true },
      { m: 0, n: 8, tableRows: 4 },
    ].map((shape) => gatherRowsCase({ ...common, ...shape })),

    // No row is named twice.
    ...[
      { m: 1, n: 1, tableRows: 1 },
      { m: 5, n: 7, tableRows: 9 },
      { m: 70, n: 1152, tableRows: 300 },
      { m: 13, n: 24, tableRows: 40, strided: true },
      { m: 50, n: 4, tableRows: 50, i32: true },
      { m: 0, n: 8, tableRows: 4 },
    ].map((shape) => scatterRowsCase({ ...common, ...shape })),

    linearGatherRowsCase({ m: 9, n: 35, k: 48, tableRows: 4, bias: true, ...common }),
    linearGatherRowsCase({
      m: 170,
      n: 72,
      k: 96,
      tableRows: 500,
      bias: true,
      activation: "gelu_tanh",
      ...common,
    }),
    // Several tiles of each axis.
    linearGatherRowsCase({ m: 300, n: 264, k: 128, tableRows: 700, bias: true, ...common }),
    linearGatherRowsCase({ m: 20, n: 50, k: 64, tableRows: 30, strided: true, ...common }),
    linearGatherRowsCase({ m: 0, n: 40, k: 24, tableRows: 3, bias: true, ...common }),
    linearGatherRowsCase({ m: 70, n: 72, k: 588, tableRows: 90, bias: true, aligned: true, ...common }),
    linearGatherRowsCase({ m: 70, n: 72, k: 588, tableRows: 90, bias: true, ...common }),

    ...[
      { m: 1, n: 1, groups: 1 },
      { m: 5, n: 7, groups: 4 },
      // Of Gemma 3: 4×4 rows become one.
      { m: 9, n: 1152, groups: 16 },
      { m: 13, n: 24, groups: 3, strided: true },
      { m: 70, n: 72, groups: 9 },
      { m: 0, n: 8, groups: 2 },
    ].map((shape) => meanGroupsCase({ ...common, ...shape })),

    ...[
      { m: 1, n: 1, tableRows: 1, learnedRows: 1 },
      { m: 17, n: 7, tableRows: 16, learnedRows: 3, weightDType: "bf16" },
      // A class row before 256 patches of InternVL, and newlines.
      { m: 257, n: 1024, tableRows: 256, learnedRows: 1, weightDType: "bf16" },
      { m: 40, n: 24, tableRows: 70, learnedRows: 2, weightDType: "f16", strided: true },
      { m: 12, n: 72, tableRows: 9, learnedRows: 4, aligned: true },
      { m: 9, n: 12, tableRows: 5, learnedRows: 2, aligned: true },
      { m: 7, n: 1, tableRows: 3, learnedRows: 2, weightDType: "bf16" },
      // The only row is a learned one, and the table has none.
      { m: 1, n: 8, tableRows: 0, learnedRows: 2 },
      { ...MANY_ELEMENTS, tableRows: 41, learnedRows: 3, weightDType: "bf16" },
      { m: 0, n: 8, tableRows: 4, learnedRows: 1 },
    ].map((shape) => assembleRowsCase({ ...common, ...shape } as Parameters<typeof assembleRowsCase>[0])),

    ...[
      { m: 1, n: 1, groups: 1 },
      { m: 5, n: 7, groups: 3 },
      // Heads of Gemma 4 and of GLM-OCR, with and without a weight.
      { m: 33, n: 72, groups: 16, weightDType: "bf16" },
      { m: 33, n: 72, groups: 16, weight: false },
      { m: 9, n: 64, groups: 12, inPlace: "x" },
      { m: 13, n: 40, groups: 2, strided: true, weightDType: "f16" },
      { m: 2, n: 1152, groups: 1, weight: false },
      // A group of one column, and groups that end one column beyond a warp's 32.
      { m: 5, n: 1, groups: 3 },
      { m: 4, n: 33, groups: 5, inPlace: "x", strided: true },
      // More groups than the device holds warps at once, 64 on each of up to 188 multiprocessors.
      { m: 760, n: 3, groups: 16, weightDType: "bf16" },
      { m: 0, n: 8, groups: 2 },
    ].map((shape) => rmsnormGroupsCase({ ...common, ...shape } as Parameters<typeof rmsnormGroupsCase>[0])),

    ...[
      { m: 1, n: 1, low: -0.5, high: 0.5 },
      { m: 9, n: 72, low: -1, high: 0.25, weightDType: "bf16" },
      { m: 5, n: 37, low: -0.125, high: 2, inPlace: "x" },
      { m: 13, n: 24, low: 0, high: 1, strided: true },
      { m: 7, n: 1, low: -0.5, high: 0.5, weightDType: "bf16" },
      { m: 6, n: 12, low: -1, high: 1, aligned: true },
      { m: 6, n: 64, low: -1, high: 1, aligned: true, inPlace: "x" },
      // A linear that clips nothing, and one that clips on one side.
      { m: 3, n: 16, low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY },
      { m: 3, n: 16, low: Number.NEGATIVE_INFINITY, high: 0.25, weightDType: "bf16" },
      { ...MANY_ELEMENTS, low: -1, high: 0.5 },
      { m: 0, n: 8, low: -1, high: 1 },
    ].map((shape) => clampCase({ ...common, ...shape } as Parameters<typeof clampCase>[0])),

    ...[
      { m: 1, n: 1 },
      { m: 9, n: 1152, weightDType: "bf16" },
      { m: 5, n: 37, inPlace: "x" },
      { m: 13, n: 24, strided: true, weightDType: "f16" },
      { m: 7, n: 1, weightDType: "bf16" },
      { m: 6, n: 12, aligned: true },
      { ...MANY_ELEMENTS, weightDType: "bf16" },
      { m: 0, n: 8 },
    ].map((shape) => standardizeCase({ ...common, ...shape } as Parameters<typeof standardizeCase>[0])),

    // Columns in multiples of 8: what folds norms asks for that.
    linearStatisticsCase({ m: 1, n: 8, k: 16, ...common }),
    linearStatisticsCase({ m: 70, n: 152, k: 588, bias: true, aligned: true, ...common }),
    linearStatisticsCase({ m: 300, n: 1152, k: 64, bias: true, residual: true, ...common }),
    linearStatisticsCase({ m: 37, n: 72, k: 96, residual: true, inPlace: "residual", ...common }),
    linearStatisticsCase({ m: 70, n: 264, k: 96, bias: true, tableRows: 500, ...common }),
    linearStatisticsCase({ m: 0, n: 40, k: 24, ...common }),
    ...[
      { m: 1, n: 8, k: 32, norm: "layernorm" },
      { m: 70, n: 152, k: 1152, norm: "layernorm", mean: 10, activation: "gelu_tanh" },
      { m: 300, n: 72, k: 264, norm: "layernorm", mean: 1000 },
      { m: 33, n: 64, k: 1152, norm: "layernorm", channel: true },
      { m: 21, n: 136, k: 96, joined: 4, norm: "layernorm", mean: 10, activation: "gelu_erf" },
      { m: 70, n: 152, k: 1280, norm: "rmsnorm", mean: 0.5, activation: "silu" },
      { m: 9, n: 24, k: 72, joined: 2, norm: "rmsnorm", channel: true },
      { m: 0, n: 24, k: 72, norm: "layernorm" },
      { m: 2, n: 48, k: 16, norm: "layernorm", heads: 1 },
      { m: 35, n: 432, k: 144, norm: "layernorm", mean: 10, heads: 2 },
      { m: 150, n: 240, k: 80, norm: "rmsnorm", heads: 1 },
    ].map((shape) => linearNormCase({ weightDType: "bf16", ...common, ...shape } as LinearNormShape)),
  ];
}

/** "64+40×16": more than four equal ones in a row are counted. */
function printLengths(lengths: readonly number[]): string {
  const parts: string[] = [];
  for (let first = 0; first < lengths.length; ) {
    let end = first;
    while (end < lengths.length && lengths[end] === lengths[first]) end++;
    const count = end - first;
    if (count > 4) parts.push(`${count}×${lengths[first]}`);
    else parts.push(...Array.from({ length: count }, () => `${lengths[first]}`));
    first = end;
  }
  return parts.join("+");
}

/** Row, column, height and width of every patch of a grid, row by row. */
function gridPositions(height: number, width: number): number[][] {
  return Array.from({ length: height * width }, (_, i) => [Math.floor(i / width), i % width]);
}

/** `count` rows of a table in no order: none twice where there are enough. */
function spreadRows(count: number, tableRows: number): number[] {
  // A step that is odd and has no factor in common with the number of rows visits each of them.
  let step = Math.floor(tableRows * 0.6) | 1;
  while (greatestCommonDivisor(step, tableRows) > 1) step += 2;
  return Array.from({ length: count }, (_, i) => ((i + 1) * step) % tableRows);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Cosines of the headSize/4 frequencies, then their sines, for every row and column of a grid. */
function anglesFor(grid: readonly [number, number], headSize: number): number[][] {
  const quarter = headSize / 4;
  return Array.from({ length: Math.max(...grid) }, (_, position) => {
    const turns = Array.from({ length: quarter }, (_, i) => position / 10000 ** (i / quarter));
    return [...turns.map(Math.cos), ...turns.map(Math.sin)];
  });
}

const STRIDE_GAP = 5;
const ALIGNED_ELEMENTS = 8;

class CaseBuilder {
  readonly #kernel: KernelName;
  readonly #name: string;
  readonly #activationDType: DType;
  readonly #weightDType: DType;
  readonly #spareRows: number;
  readonly #gap: number;
  readonly #aligned: boolean;
  readonly #inPlace: string | undefined;
  readonly #dims: CaseDim[] = [];
  readonly #matrices: Record<string, CaseMatrix> = {};
  readonly #operands: Record<string, CaseOperand> = {};
  readonly #scalars: Record<string, number> = {};
  #before: CaseInstruction | undefined;
  readonly #random: () => number;
  #exact = false;

  constructor(kernel: KernelName, parts: readonly (string | false)[], options: CaseOptions) {
    const {
      activationDType = "f32",
      weightDType = "f32",
      spareRows = 3,
      strided = false,
      aligned = false,
      inPlace,
    } = options;
    const described = [
      ...parts,
      strided && "strided",
      aligned && "aligned rows",
      inPlace !== undefined && `y in ${inPlace}`,
    ];
    this.#kernel = kernel;
    this.#name = `${kernel}: ${described.filter((part) => part !== false).join(", ")}`;
    this.#activationDType = activationDType;
    this.#weightDType = weightDType;
    this.#spareRows = spareRows;
    this.#gap = strided ? STRIDE_GAP : 0;
    this.#aligned = aligned;
    this.#inPlace = inPlace;
    this.#random = randomFrom(this.#name);
  }

  dim(name: string, count: number): this {
    this.#dims.push({ name, count, capacity: count + this.#spareRows });
    return this;
  }

  /** `factor` times another dim. */
  dimOf(name: string, other: string, factor: number): this {
    const { count, capacity } = this.#dims.find((dim) => dim.name === other)!;
    this.#dims.push({ name, count: factor * count, capacity: factor * capacity });
    return this;
  }

  /** Of rows of `columns` columns: for the backend alone. */
  statistics(dim: string, columns: number): this {
    return this.#add("statistics", {
      arena: "scratch",
      dtype: "f32",
      rows: { dim, plus: 0 },
      columns: statisticsColumns(columns),
      rowStride: statisticsColumns(columns),
    });
  }

  /** Before the kernel, a product with nothing adds x to it, in x's place: its rows, of `columns` columns, stay, and get statistics. */
  statisticsFirst(dim: string, columns: number): this {
    const rows = { dim, plus: 0 };
    const zeros = (
      name: string,
      arena: "io" | "weights",
      dtype: DType,
      count: number,
      rows: RowCount,
    ): CaseOperand => {
      this.#matrices[name] = {
        arena,
        dtype,
        rows,
        columns: 8,
        rowStride: 8,
        values: new Float64Array(8 * count),
      };
      return { matrix: name, firstColumn: 0, columns: 8 };
    };
    const x = { matrix: "x", firstColumn: 0, columns, rows, rowStride: columns };
    this.#before = {
      kernel: "linear_statistics",
      operands: {
        x: zeros("nothing", "io", this.#activationDType, this.#count(dim), rows),
        weight: zeros("no_weight", "weights", this.#weightDType, columns, { dim: null, plus: columns }),
        residual: x,
        statistics: this.#operands.statistics!,
        y: x,
      },
      scalars: {},
    };
    return this;
  }

  rowSums(name: string): readonly number[] {
    const { values = new Float64Array(), columns } = this.#matrices[name]!;
    return Array.from({ length: values.length / columns }, (_, row) =>
      values.subarray(row * columns, (row + 1) * columns).reduce((sum, value) => sum + value, 0),
    );
  }

  /** A row of f32, a constant of the program. */
  floats(name: string, columns: number): this {
    return this.table(name, [Array.from({ length: columns }, () => this.#normal())]);
  }

  activation(name: string, dim: string, columns: number, shape: (value: number) => number = (v) => v): this {
    const count = this.#count(dim) * columns;
    return this.#add(name, {
      arena: "io",
      dtype: this.#activationDType,
      rows: { dim, plus: 0 },
      columns,
      rowStride: this.#strideOf(columns) + this.#gap,
      values: Float64Array.from({ length: count }, () => shape(this.#normal())),
    });
  }

  /** Normal values, times `scale` and around `mean`. */
  weight(name: string, rows: number, columns: number, scale = 1, mean = 0): this {
    return this.#add(name, {
      arena: "weights",
      dtype: this.#weightDType,
      rows: { dim: null, plus: rows },
      columns,
      rowStride: this.#strideOf(columns),
      values: Float64Array.from({ length: rows * columns }, () => scale * this.#normal() + mean),
    });
  }

  /** Constants of the program in f32. */
  table(name: string, rows: readonly (readonly number[])[]): this {
    const columns = rows[0]!.length;
    const values = Float64Array.from(rows.flat());
    return this.#add(name, {
      arena: "weights",
      dtype: "f32",
      rows: { dim: null, plus: rows.length },
      columns,
      rowStride: columns,
      values,
    });
  }

  index(name: string, rows: string | RowCount, columns: number, values: readonly number[]): this {
    const count = typeof rows === "string" ? { dim: rows, plus: 0 } : rows;
    return this.#add(name, {
      arena: "io",
      dtype: "i32",
      rows: count,
      columns,
      rowStride: columns,
      values: Float64Array.from(values),
    });
  }

  /** An f32 matrix that the host fills: `value` everywhere, or anything. */
  staged(name: string, dim: string, columns: number, value?: number): this {
    return this.#add(name, {
      arena: "io",
      dtype: "f32",
      rows: { dim, plus: 0 },
      columns,
      rowStride: columns,
      values: Float64Array.from(
        { length: this.#count(dim) * columns },
        () => value ?? Math.fround(this.#normal()),
      ),
    });
  }

  /** An i32 matrix; without `filled` nothing is in it before the run. */
  integers(name: string, dim: string, columns: number, filled = true): this {
    const count = this.#count(dim) * columns;
    return this.#add(name, {
      arena: "io",
      dtype: "i32",
      rows: { dim, plus: 0 },
      columns,
      rowStride: columns,
      ...(filled
        ? { values: Float64Array.from({ length: count }, () => Math.floor(2e9 * (this.#random() - 0.5))) }
        : {}),
    });
  }

  bytes(name: string, dim: string, columns: number, values: Float64Array): this {
    return this.#add(name, {
      arena: "io",
      dtype: "u8",
      rows: { dim, plus: 0 },
      columns,
      rowStride: columns,
      values,
    });
  }

  /** A column range of a matrix as an operand. */
  view(name: string, matrix: string, firstColumn: number, columns: number): this {
    this.#operands[name] = { matrix, firstColumn, columns };
    return this;
  }

  scalar(name: string, value: number): this {
    this.#scalars[name] = value;
    return this;
  }

  /** See `KernelCase.exact`. */
  exact(exact: boolean): this {
    this.#exact = exact;
    return this;
  }

  /** The case, with its output. */
  output(dim: string, columns: number): KernelCase {
    if (this.#inPlace !== undefined) {
      this.#operands.y = this.#operands[this.#inPlace]!;
    } else {
      const rowStride = this.#strideOf(columns) + this.#gap;
      this.#add("y", {
        arena: "io",
        dtype: this.#activationDType,
        rows: { dim, plus: 0 },
        columns,
        rowStride,
      });
    }
    return this.build();
  }

  /** The case, whose y is there already. */
  build(): KernelCase {
    return {
      name: this.#name,
      kernel: this.#kernel,
      activationDType: this.#activationDType,
      dims: this.#dims,
      matrices: this.#matrices,
      operands: this.#operands,
      scalars: this.#scalars,
      ...(this.#exact ? { exact: true } : {}),
      ...(this.#before === undefined ? {} : { before: this.#before }),
    };
  }

  /** Bytes of one patch as `unpack_patches` takes them. */
  pixelBytes(format: keyof typeof PIXEL_FORMATS, frameValues: number, temporal: number): Float64Array {
    const count = frameValues * (format === "u8_still" ? 1 : temporal);
    if (format !== "normalized")
      return Float64Array.from({ length: count }, () => Math.floor(this.#random() * 256));
    const values = Array.from({ length: count }, () => this.#normal());
    return Float64Array.from(encodeValues("f32", values));
  }

  #add(name: string, matrix: CaseMatrix): this {
    const { values, dtype } = matrix;
    this.#matrices[name] = values === undefined ? matrix : { ...matrix, values: roundValues(dtype, values) };
    this.#operands[name] = { matrix: name, firstColumn: 0, columns: matrix.columns };
    return this;
  }

  #strideOf(columns: number): number {
    return this.#aligned ? Math.ceil(columns / ALIGNED_ELEMENTS) * ALIGNED_ELEMENTS : columns;
  }

  #count(dim: string): number {
    return this.#dims.find(({ name }) => name === dim)!.count;
  }

  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
  }
}

/** Numbers in [0, 1) from a text: mulberry32 over its FNV-1a hash. */
export function randomFrom(text: string): () => number {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
