/**
 * Runs a kernel case on a device, over memory where everything that the kernel has no business with is a NaN.
 *
 * All of the io arena is filled with 0xff bytes before the real rows are written, and read back whole afterwards: what
 * lies beyond the counts, between strided rows and beside the buffers must be untouched, and so must every input. A stale
 * row that leaks into a result makes it NaN.
 */
import type { Arena, CaptureTimes, Device } from "../device.js";
import { KERNELS, type KernelName, type KernelSignature } from "../kernels.js";
import {
  DTYPE_BYTES,
  type Instruction,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
  rowCapacity,
} from "../program.js";
import { decodeValues, encodeValues } from "./element-values.js";
import type { CaseInstruction, CaseMatrix, KernelCase } from "./kernel-cases.js";
import { type ReferenceMatrix, referenceKernel } from "./reference.js";

/** The output of a kernel, widened to float64, and the device time in milliseconds. */
export interface CaseResult {
  /** Dense [real rows, columns]. */
  readonly y: Float64Array;
  /** Bytes outside of y's real rows that the run has changed. Must be 0. */
  readonly strayBytes: number;
  readonly durationMs: number;
}

/** Loads the case as a program of one instruction, or two,, and runs it once. */
export async function runKernelCase(device: Device, kernelCase: KernelCase): Promise<CaseResult> {
  using loaded = await loadKernelCase(device, kernelCase);
  return loaded.run();
}

/** A kernel case, loaded on a device. */
export interface LoadedCase extends Disposable {
  readonly program: Program;
  /** Runs the kernel once on the inputs of its case. */
  run(): Promise<CaseResult>;
  /** Later runs are replays, where the backend has such a thing: see `Executable.capture`. */
  capture(): Promise<CaptureTimes | null>;
}

/** The case in the device's memory, for running it more than once. Every run starts from the same bytes. */
export async function loadKernelCase(device: Device, kernelCase: KernelCase): Promise<LoadedCase> {
  const layout = layOut(kernelCase);
  const { program, offsets } = layout;
  const disposables: Disposable[] = [];
  const allocate = (sizeBytes: number): Arena => {
    const arena = device.allocate(sizeBytes);
    disposables.push(arena);
    return arena;
  };
  const arenas = {
    weights: allocate(program.arenaBytes.weights),
    io: allocate(program.arenaBytes.io),
    scratch: allocate(program.arenaBytes.scratch),
  };
  const weights = new Uint8Array(program.arenaBytes.weights).fill(0xff);
  const io = new Uint8Array(program.arenaBytes.io).fill(0xff);
  for (const [name, matrix] of Object.entries(kernelCase.matrices)) {
    if (matrix.arena !== "scratch") write(matrix.arena === "weights" ? weights : io, offsets[name]!, matrix);
  }
  await device.upload(arenas.weights, 0, weights);
  const executable = device.load(program, arenas);
  disposables.push(executable);

  return {
    program,
    capture: () => executable.capture(),
    async run() {
      const { durationMs, outputs } = await executable.submit({
        counts: kernelCase.dims.map(({ count }) => count),
        inputs: [{ buffer: layout.wholeIo, bytes: io }],
        outputs: [{ buffer: layout.wholeIo, sizeBytes: io.length }],
      });
      return { ...takeOutput(kernelCase, layout, io, outputs[0]!), durationMs };
    },
    [Symbol.dispose]() {
      for (const disposable of disposables) disposable[Symbol.dispose]();
    },
  };
}

/** What the case's output should be. */
export function referenceOf(kernelCase: KernelCase): ReferenceMatrix {
  const { kernel, operands, scalars } = kernelCase;
  const kinds: KernelSignature["scalars"] = KERNELS[kernel].scalars;
  return referenceKernel(kernel, {
    operands: Object.fromEntries(Object.keys(operands).map((name) => [name, denseOperand(kernelCase, name)])),
    scalars: Object.fromEntries(
      Object.entries(scalars).map(([name, value]) => [
        name,
        kinds[name] === "f32" ? Math.fround(value) : value,
      ]),
    ),
  });
}

/** The distance of a result from its reference. */
export interface Deviation {
  /** ‖y - reference‖ / ‖reference‖. */
  readonly relativeL2: number;
  /** The largest |y - reference|, relative to the largest |reference|. */
  readonly relativeMax: number;
}

/** How far y is from the reference. NaN anywhere makes both NaN; an empty reference, 0. */
export function deviationOf(y: Float64Array, { values }: ReferenceMatrix): Deviation {
  if (y.length !== values.length)
    throw new Error(`y has ${y.length} values, and its reference ${values.length}`);
  if (values.length === 0) return { relativeL2: 0, relativeMax: 0 };
  const differences = y.map((value, index) => value - values[index]!);
  return {
    relativeL2: norm(differences) / norm(values),
    relativeMax: largest(differences) / largest(values),
  };
}

function norm(values: Float64Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}

function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** The deviation that a test allows, and its reason. */
export interface Tolerance extends Deviation {
  readonly reason: string;
}

/**
 * How far a kernel may be from its reference with f32 activations and arithmetic; u is f32's rounding, 6e-8. Each holds
 * for all of kernelCases with a factor of about two to spare, and a mistake is off by orders of magnitude.
 */
export const F32_TOLERANCES: Readonly<Record<KernelName, Tolerance>> = {
  unpack_patches: { relativeL2: 1e-7, relativeMax: 2e-7, reason: "a product and a sum" },
  linear: {
    relativeL2: 5e-7,
    relativeMax: 1e-6,
    reason:
      "the rounding of a sum of k products wanders by about √k·u, and is spread over several partial sums",
  },
  linear_rope: {
    relativeL2: 5e-7,
    relativeMax: 1e-6,
    reason: "that of linear; two products and a sum add little",
  },
  layernorm: {
    relativeL2: 2e-7,
    relativeMax: 4e-7,
    reason: "two sums over the row, a square root and a quotient",
  },
  activation: { relativeL2: 1e-7, relativeMax: 2e-7, reason: "exp to within 2u, a quotient and a product" },
  add: { relativeL2: 1e-7, relativeMax: 1e-7, reason: "a sum" },
  interpolate_rows: { relativeL2: 3e-7, relativeMax: 6e-7, reason: "a sum of few products" },
  rope: { relativeL2: 1e-7, relativeMax: 2e-7, reason: "two products and a sum" },
  rope_qk: { relativeL2: 1e-7, relativeMax: 2e-7, reason: "two products and a sum" },
  attention: {
    relativeL2: 3e-6,
    relativeMax: 1e-5,
    reason:
      "an error of a logit is one of its weight's exponent: the sharpest case has logits of several hundred",
  },
  rmsnorm: {
    relativeL2: 5e-7,
    relativeMax: 1e-6,
    reason:
      "the roundings of a sum of squares all of one sign do not cancel: thousands of them in the longest rows",
  },
  gate: { relativeL2: 1.5e-7, relativeMax: 3e-7, reason: "an activation and a product" },
  gather_rows: { relativeL2: 0, relativeMax: 0, reason: "nothing is computed" },
  scatter_rows: { relativeL2: 0, relativeMax: 0, reason: "nothing is computed" },
  linear_gather_rows: { relativeL2: 5e-7, relativeMax: 1e-6, reason: "as linear" },
  linear_statistics: { relativeL2: 5e-7, relativeMax: 1e-6, reason: "as linear" },
  linear_norm: {
    relativeL2: 4e-4,
    relativeMax: 1e-3,
    reason: "of rows whose mean is 1000 deviations, products as large cancel",
  },
  linear_norm_rope: {
    relativeL2: 5e-6,
    relativeMax: 1e-5,
    reason: "of rows whose mean is 10 deviations, too",
  },
  assemble_rows: { relativeL2: 0, relativeMax: 0, reason: "nothing is computed" },
  rmsnorm_groups: { relativeL2: 5e-7, relativeMax: 1e-6, reason: "as rmsnorm" },
  clamp: { relativeL2: 0, relativeMax: 0, reason: "nothing is computed" },
  standardize: { relativeL2: 2e-7, relativeMax: 4e-7, reason: "two products and a difference" },
  mean_groups: { relativeL2: 3e-7, relativeMax: 6e-7, reason: "a sum of few terms and a quotient" },
};

const EXACT: Tolerance = { relativeL2: 0, relativeMax: 0, reason: "nothing is rounded" };

/** What a backend's tolerances ask of a case. */
export function toleranceOf(
  kernelCase: KernelCase,
  tolerances: Readonly<Record<KernelName, Tolerance>>,
): Tolerance {
  return kernelCase.exact === true ? EXACT : tolerances[kernelCase.kernel];
}

/** The case as a program of one instruction. */
export function kernelCaseProgram(kernelCase: KernelCase): Program {
  return layOut(kernelCase).program;
}

interface CaseLayout {
  readonly program: Program;
  /** Bytes from the start of its arena, for each matrix. */
  readonly offsets: Readonly<Record<string, number>>;
  /** The buffer that is all of the io arena. */
  readonly wholeIo: number;
}

function layOut(kernelCase: KernelCase): CaseLayout {
  const { dims, matrices, before } = kernelCase;
  const arenaBytes = { weights: 0, io: 0, scratch: 0, cache: 0 };
  const offsets: Record<string, number> = {};
  const programDims = dims.map(({ name, capacity }) => ({ name, capacity }));
  for (const [name, { arena, dtype, rows, rowStride }] of Object.entries(matrices)) {
    offsets[name] = arenaBytes[arena];
    const sizeBytes = rowCapacity({ dims: programDims }, rows) * rowStride * DTYPE_BYTES[dtype];
    arenaBytes[arena] += Math.ceil(sizeBytes / 256) * 256;
  }
  const buffers: ProgramBuffer[] = [];
  const instructionOf = ({ kernel, operands, scalars }: CaseInstruction): Instruction => {
    const signature: KernelSignature = KERNELS[kernel];
    const indices = signature.buffers.map((written) => {
      const operand = operands[written.replace("?", "")];
      if (operand === undefined) return -1;
      const { arena, dtype, rows, rowStride } = { ...matrices[operand.matrix]!, ...operand };
      const offset = offsets[operand.matrix]! + operand.firstColumn * DTYPE_BYTES[dtype];
      return (
        buffers.push({ name: written, arena, offset, dtype, rows, columns: operand.columns, rowStride }) - 1
      );
    });
    return {
      kernel,
      buffers: indices,
      scalars: Object.keys(signature.scalars).map((name) => scalars[name]!),
    };
  };
  const instructions = [...(before === undefined ? [] : [before]), kernelCase].map(instructionOf);
  const whole = { offset: 0, dtype: "u8", columns: 1, rowStride: 1 } as const;
  const wholeIo =
    buffers.push({ name: "io", arena: "io", rows: { dim: null, plus: arenaBytes.io }, ...whole }) - 1;
  const program: Program = {
    version: PROGRAM_VERSION,
    dims: programDims,
    arenaBytes,
    buffers,
    instructions,
  };
  return { program, offsets, wholeIo };
}

/** Writes a matrix's real rows, and nothing between them. */
function write(arena: Uint8Array, offset: number, { dtype, columns, rowStride, values }: CaseMatrix): void {
  if (values === undefined) return;
  const bytes = encodeValues(dtype, values);
  const rowBytes = columns * DTYPE_BYTES[dtype];
  for (let row = 0; row * rowBytes < bytes.length; row++) {
    arena.set(
      bytes.subarray(row * rowBytes, (row + 1) * rowBytes),
      offset + row * rowStride * DTYPE_BYTES[dtype],
    );
  }
}

function takeOutput(kernelCase: KernelCase, layout: CaseLayout, before: Uint8Array, after: Uint8Array) {
  const { matrix: name, firstColumn, columns } = kernelCase.operands.y!;
  const { dtype, rows, rowStride } = kernelCase.matrices[name]!;
  const size = DTYPE_BYTES[dtype];
  const rowCount = realRows(kernelCase, rows.dim!) + rows.plus;
  const expected = before.slice();
  const dense = new Uint8Array(rowCount * columns * size);
  for (let row = 0; row < rowCount; row++) {
    const start = layout.offsets[name]! + (row * rowStride + firstColumn) * size;
    const written = after.subarray(start, start + columns * size);
    dense.set(written, row * columns * size);
    expected.set(written, start);
  }
  const strayBytes = after.reduce((sum, byte, index) => sum + (byte === expected[index] ? 0 : 1), 0);
  return { y: decodeValues(dtype, dense), strayBytes };
}

function denseOperand(kernelCase: KernelCase, operand: string): ReferenceMatrix {
  const { matrix, firstColumn, columns } = kernelCase.operands[operand]!;
  const { values = new Float64Array(), columns: allColumns } = kernelCase.matrices[matrix]!;
  const rows = values.length / allColumns;
  if (columns === allColumns) return { rows, columns, values };
  const dense = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = row * allColumns + firstColumn;
    dense.set(values.subarray(start, start + columns), row * columns);
  }
  return { rows, columns, values: dense };
}

function realRows({ dims }: KernelCase, dim: string): number {
  return dims.find(({ name }) => name === dim)!.count;
}
