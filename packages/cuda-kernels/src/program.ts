/**
 * The Program: the ABI between the compiler (TypeScript) and the backends (native).
 *
 * A program is a flat list of instructions over buffers that already have their addresses: `{ kernel, buffers, scalars }`.
 * It contains no model and no op graph. TypeScript has the types and the encoder, native code the decoder, which validates
 * everything once, at load. Only the *counts* (the real patches, tokens, segments) and the contents of the io buffers
 * differ between runs: kernels read the counts at run time and access no row beyond them, so a run costs what its content
 * costs, whatever the budget.
 */
import { VitgraphError } from "@vitgraph/errors";
import { KERNEL_NAMES, KERNELS, type KernelName } from "./kernels.js";

/** Raised with every change of the encoding or of a kernel's signature. The decoder refuses any other. */
export const PROGRAM_VERSION = 4;

/** Element types, with their size in bytes. The order is the encoding. */
export const DTYPE_BYTES = { f32: 4, bf16: 2, f16: 2, i32: 4, u8: 1 } as const;
/** The element types of buffers. */
export type DType = keyof typeof DTYPE_BYTES;
const DTYPES = Object.keys(DTYPE_BYTES) as readonly DType[];

/**
 * The arenas of buffers. `weights` are written once; `io` addresses never move, so that a captured graph can contain them;
 * `scratch` is reused within a run, and one scratch arena serves every program of a device; `cache` keeps its contents for
 * later runs and programs.
 */
export const ARENAS = ["weights", "io", "scratch", "cache"] as const;
/** The blocks of memory that a program uses. */
export type ArenaName = (typeof ARENAS)[number];

/** A row count that is known when the program runs: `counts[dim] + plus`, or `plus` alone where `dim` is null. */
export interface RowCount {
  readonly dim: string | null;
  readonly plus: number;
}

/** A count that is known when the program runs, such as patches or tokens. */
export interface Dim {
  readonly name: string;
  /** The largest count of a run. Buffers are sized for it. */
  readonly capacity: number;
}

/** A matrix, or a view of one: rows × columns elements, `rowStride` elements from one row to the next. */
export interface ProgramBuffer {
  /** For messages: the value's name in the graph, or the tensor's in the checkpoint. */
  readonly name: string;
  readonly arena: ArenaName;
  /** Bytes from the start of the arena. A multiple of 256, except in views. */
  readonly offset: number;
  readonly dtype: DType;
  readonly rows: RowCount;
  readonly columns: number;
  readonly rowStride: number;
}

/** One kernel call. */
export interface Instruction {
  readonly kernel: KernelName;
  /** Indices into `Program.buffers`, in the order of the kernel's signature; -1 for an optional one left out. */
  readonly buffers: readonly number[];
  /** In the order of the kernel's signature. */
  readonly scalars: readonly number[];
}

/** A flat list of kernel calls over buffers with addresses, for one capacity of each dim. */
export interface Program {
  readonly version: typeof PROGRAM_VERSION;
  readonly dims: readonly Dim[];
  /** Bytes that each arena must have at least. */
  readonly arenaBytes: Readonly<Record<ArenaName, number>>;
  readonly buffers: readonly ProgramBuffer[];
  readonly instructions: readonly Instruction[];
}

const MAGIC = 0x50475456; // "VTGP", little endian
const NO_DIM = 0xffffffff;
const HEADER_WORDS = 14;
const BUFFER_WORDS = 8;

/**
 * The program as 32-bit little-endian words, for the native decoder:
 *
 *     header       magic, version, dims, buffers, instructions, total words, weights/io/scratch/cache bytes (low, high)
 *     dim          capacity
 *     buffer       arena, dtype, offset (low, high), rows.dim, rows.plus, columns, rowStride
 *     instruction  kernel, number of buffers, number of scalars, buffers…, scalars…
 *
 * A scalar is a u32 or the bits of an f32, as the signature says.
 * @throws VG_PROGRAM_INVALID for a number that is not a word, and a row count of an unknown dim
 */
export function encodeProgram(program: Program): Uint32Array {
  const { dims, buffers, instructions, arenaBytes } = program;
  const instructionWords = instructions.reduce((sum, i) => sum + 3 + i.buffers.length + i.scalars.length, 0);
  const words = new Uint32Array(
    HEADER_WORDS + dims.length + buffers.length * BUFFER_WORDS + instructionWords,
  );
  const floats = new Float32Array(words.buffer);
  let at = 0;
  const put = (...values: number[]) => {
    for (const value of values) words[at++] = checkedWord(value);
  };
  put(MAGIC, program.version, dims.length, buffers.length, instructions.length, words.length);
  for (const arena of ARENAS) put(...split(arenaBytes[arena]));
  for (const dim of dims) put(dim.capacity);
  for (const buffer of buffers) {
    put(ARENAS.indexOf(buffer.arena), DTYPES.indexOf(buffer.dtype), ...split(buffer.offset));
    put(dimIndex(program, buffer), buffer.rows.plus, buffer.columns, buffer.rowStride);
  }
  for (const { kernel, buffers: operands, scalars } of instructions) {
    put(KERNEL_NAMES.indexOf(kernel), operands.length, scalars.length, ...operands);
    const kinds = Object.values(KERNELS[kernel].scalars);
    for (const [index, scalar] of scalars.entries()) {
      if (kinds[index] === "f32") floats[at++] = scalar;
      else words[at++] = scalar;
    }
  }
  return words;
}

/** An array of words takes any number, modulo 2³². -1 stands for an absent operand. @throws VG_PROGRAM_INVALID */
function checkedWord(value: number): number {
  if (Number.isInteger(value) && value >= -1 && value < 2 ** 32) return value;
  throw new VitgraphError("VG_PROGRAM_INVALID", `a program cannot hold ${value} in a word of 32 bits`, {
    remedy: "use capacities, columns and strides that are whole numbers below 2³²",
  });
}

/** The size in bytes that a buffer spans when every dim is at its capacity. */
export function bufferBytes(program: Pick<Program, "dims">, buffer: ProgramBuffer): number {
  const rows = rowCapacity(program, buffer.rows);
  if (rows === 0) return 0;
  return ((rows - 1) * buffer.rowStride + buffer.columns) * DTYPE_BYTES[buffer.dtype];
}

export function rowCapacity(program: Pick<Program, "dims">, rows: RowCount): number {
  const dim = program.dims.find((candidate) => candidate.name === rows.dim);
  return (dim?.capacity ?? 0) + rows.plus;
}

/** The program as text, an instruction a line: `vitgraph print program`. */
export function printProgram(program: Program): string {
  const { arenaBytes } = program;
  const lines = [
    `program v${program.version}  dims ${program.dims.map((d) => `${d.name}≤${d.capacity}`).join(" ")}`,
    `arenas  ${ARENAS.map((name) => `${name} ${arenaBytes[name]} B`).join("  ")}`,
  ];
  for (const { kernel, buffers, scalars } of program.instructions) {
    const signature = KERNELS[kernel];
    const operands = signature.buffers.map((name, index) => {
      const buffer = program.buffers[buffers[index] ?? -1];
      return `${name.replace("?", "")}=${buffer === undefined ? "-" : printBuffer(buffer)}`;
    });
    const values = Object.keys(signature.scalars).map((name, index) => `${name}=${scalars[index]}`);
    lines.push(`  ${kernel.padEnd(20)} ${[...operands, ...values].join("  ")}`);
  }
  return `${lines.join("\n")}\n`;
}

function printBuffer({ name, arena, offset, dtype, rows, columns, rowStride }: ProgramBuffer): string {
  const count = rows.dim === null ? `${rows.plus}` : rows.dim + (rows.plus === 0 ? "" : `+${rows.plus}`);
  const stride = rowStride === columns ? "" : `/${rowStride}`;
  return `${name}:${dtype}[${count},${columns}${stride}]@${arena}+${offset}`;
}

function dimIndex(program: Program, buffer: ProgramBuffer): number {
  if (buffer.rows.dim === null) return NO_DIM;
  const index = program.dims.findIndex((dim) => dim.name === buffer.rows.dim);
  if (index < 0) {
    throw new VitgraphError("VG_PROGRAM_INVALID", `buffer ${buffer.name} counts rows in ${buffer.rows.dim}`, {
      remedy: `use one of the program's dims: ${program.dims.map((dim) => dim.name).join(", ")}`,
    });
  }
  return index;
}

function split(value: number): [low: number, high: number] {
  return [value >>> 0, Math.floor(value / 2 ** 32)];
}
