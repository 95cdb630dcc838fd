/**
 * Holds a program against the ABI: the twin of native/program/{decode,validate}.cc, in the same words, which a property
 * test compares. It works on the Program itself, so that a compiler's tests need no native code.
 *
 * An operand type "class [rows, columns]" is read by a small unifier: a symbol takes the first value that it meets, and
 * later ones must equal it. Row counts compare as they are written (dim and plus), not at some capacity.
 */
import { VitgraphError } from "@vitgraph/errors";
import type { Arena } from "../device.js";
import { ACTIVATIONS, KERNELS, type KernelName, type KernelSignature } from "../kernels.js";
import {
  ARENAS,
  type ArenaName,
  bufferBytes,
  DTYPE_BYTES,
  type DType,
  type Instruction,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
  type RowCount,
  rowCapacity,
} from "../program.js";

/** The device and the arenas that a program is validated for. */
export interface ValidationTarget {
  readonly activationDType: DType;
  readonly kernels: ReadonlySet<KernelName>;
  /** The cache may be left out. */
  readonly arenas: Readonly<Partial<Record<ArenaName, Pick<Arena, "sizeBytes">>>>;
}

/** Row counts, columns and strides stay below this: kernels hold them in 32 bits, and the bytes of a buffer fit 64. */
const MAX_COUNT = 0x7fffffff;
/** Larger than any count that a program can have. */
const TOO_LARGE = 2 ** 32;

/**
 * Checks a program against the kernels' signatures and the arenas, as `Device.load` does in native code.
 *
 * @throws VG_PROGRAM_INVALID naming the instruction and the operand.
 */
export function validateProgram(program: Program, target: ValidationTarget): void {
  if (program.version !== PROGRAM_VERSION) {
    throw badEncoding(
      `the program has version ${program.version}, and this backend reads version ${PROGRAM_VERSION}`,
    );
  }
  for (const [index, { capacity }] of program.dims.entries()) checkCount(capacity, `dim ${index}`);
  for (const [index, buffer] of program.buffers.entries()) checkBuffer(program, buffer, `buffer ${index}`);
  for (const [index, instruction] of program.instructions.entries()) {
    checkOperandList(program, instruction, `instruction ${index}`);
  }
  for (const [index, instruction] of program.instructions.entries()) {
    new InstructionChecker(program, instruction, index, target.activationDType).check();
  }
  for (const name of ARENAS) {
    const has = target.arenas[name]?.sizeBytes ?? 0;
    const needs = program.arenaBytes[name];
    if (has >= needs) continue;
    throw new VitgraphError(
      "VG_PROGRAM_INVALID",
      `the program needs ${needs} bytes in the ${name} arena, which has ${has}`,
      { remedy: "allocate every arena for the largest of the programs that share it" },
    );
  }
  for (const [index, { kernel }] of program.instructions.entries()) {
    if (target.kernels.has(kernel)) continue;
    throw badEncoding(`instruction ${index} (${kernel}) names a kernel that this backend lacks`);
  }
}

function checkCount(value: number, what: string): void {
  if (value > MAX_COUNT) throw badEncoding(`${what} is ${value}, above the limit of ${MAX_COUNT}`);
}

function checkBuffer(program: Program, buffer: ProgramBuffer, what: string): void {
  const { arena, dtype, offset, rows, columns, rowStride } = buffer;
  checkCount(rows.plus, `${what}: rows.plus`);
  checkCount(columns, `${what}: columns`);
  checkCount(rowStride, `${what}: rowStride`);
  if (columns === 0) throw badEncoding(`${what} has no columns`);
  if (rowStride < columns) {
    throw badEncoding(`${what} has a row stride of ${rowStride}, below its ${columns} columns`);
  }
  if (offset % DTYPE_BYTES[dtype] !== 0) {
    throw badEncoding(
      `${what}: offset ${offset} is not a multiple of ${DTYPE_BYTES[dtype]}, the size of ${dtype}`,
    );
  }
  const count = rowCapacity(program, rows);
  if (count > MAX_COUNT) {
    throw badEncoding(`${what} has ${count} rows at capacity, above the limit of ${MAX_COUNT}`);
  }
  const room = program.arenaBytes[arena];
  if (offset + bufferBytes(program, buffer) > room) {
    throw badEncoding(
      `${what} does not fit its arena: ${count} rows from byte ${offset} of the ${room} of ${arena}`,
    );
  }
}

function checkOperandList(program: Program, { kernel, buffers, scalars }: Instruction, what: string): void {
  const signature: KernelSignature = KERNELS[kernel];
  const named = `${what} (${kernel})`;
  const scalarCount = Object.keys(signature.scalars).length;
  if (buffers.length !== signature.buffers.length) {
    throw badEncoding(
      `${named} has ${buffers.length} buffers, and its signature ${signature.buffers.length}`,
    );
  }
  if (scalars.length !== scalarCount) {
    throw badEncoding(`${named} has ${scalars.length} scalars, and its signature ${scalarCount}`);
  }
  for (const [index, operand] of buffers.entries()) {
    const { name, optional } = operandName(signature, index);
    if (operand === -1) {
      if (!optional) throw badEncoding(`${named} leaves out ${name}`);
    } else if (program.buffers[operand] === undefined) {
      throw badEncoding(`${named}: ${name} is buffer ${operand} of ${program.buffers.length}`);
    }
  }
}

function operandName(
  signature: KernelSignature,
  index: number,
): { readonly name: string; readonly optional: boolean; readonly inPlace: boolean } {
  const written = signature.buffers[index] as string;
  const optional = written.endsWith("?");
  return {
    name: optional ? written.slice(0, -1) : written,
    optional,
    inPlace: signature.inPlace?.includes(written) ?? false,
  };
}

/** One instruction against its kernel's signature. The symbols of its operand types live here. */
class InstructionChecker {
  readonly #program: Program;
  readonly #instruction: Instruction;
  readonly #signature: KernelSignature;
  readonly #name: string;
  readonly #activationDType: DType;
  readonly #symbols = new Map<string, RowCount>();
  #either: DType | undefined;

  constructor(program: Program, instruction: Instruction, index: number, activationDType: DType) {
    this.#program = program;
    this.#instruction = instruction;
    this.#signature = KERNELS[instruction.kernel];
    this.#name = `instruction ${index} (${instruction.kernel})`;
    this.#activationDType = activationDType;
  }

  check(): void {
    for (const [index, [name, kind]] of Object.entries(this.#signature.scalars).entries()) {
      this.#checkScalar(name, kind, this.#instruction.scalars[index] as number);
    }
    for (const index of this.#signature.buffers.keys()) {
      const buffer = this.#buffer(index);
      if (buffer !== undefined) this.#checkOperand(index, buffer);
    }
    for (const quotient of this.#signature.divisible ?? []) this.#evaluate(quotient);
    const { buffers, outputs = 1 } = this.#signature;
    for (let index = buffers.length - outputs; index < buffers.length; index++) this.#checkOutput(index);
  }

  #invalid(fact: string): VitgraphError {
    return new VitgraphError("VG_PROGRAM_INVALID", `${this.#name}: ${fact}`, {
      remedy: "compare the instruction with the kernel's signature in KERNELS",
    });
  }

  #buffer(operand: number): ProgramBuffer | undefined {
    return this.#program.buffers[this.#instruction.buffers[operand] as number];
  }

  #checkScalar(name: string, kind: "u32" | "f32", value: number): void {
    if (kind === "f32") {
      if (!Number.isFinite(Math.fround(value))) throw this.#invalid(`${name} is not a finite number`);
    } else if (name === "activation") {
      if (value >= ACTIVATIONS.length) throw this.#invalid(`activation is ${value} of ${ACTIVATIONS.length}`);
    } else {
      if (value < 1 || value > MAX_COUNT) {
        throw this.#invalid(`${name} is ${value}, expected a count of at least 1`);
      }
      this.#symbols.set(name, constant(value));
    }
  }

  #checkOperand(index: number, buffer: ProgramBuffer): void {
    const { name } = operandName(this.#signature, index);
    const operandType = this.#signature.operandTypes[index] as string;
    const [, kind, rowExpression, columnExpression] = /^(\S+) \[(.+), (.+)\]$/.exec(
      operandType,
    ) as unknown as string[];
    this.#checkDType(name, buffer.dtype, kind as string);
    const rows = this.#expect(rowExpression as string, buffer.rows);
    if (!sameCount(rows, buffer.rows)) {
      throw this.#invalid(
        `${name} has ${this.#print(buffer.rows)} rows, expected ${this.#print(rows)} for ${operandType}`,
      );
    }
    const columns = this.#expect(columnExpression as string, constant(buffer.columns));
    if (!sameCount(columns, constant(buffer.columns))) {
      throw this.#invalid(
        `${name} has ${buffer.columns} columns, expected ${this.#print(columns)} for ${operandType}`,
      );
    }
  }

  #checkDType(name: string, actual: DType, kind: string): void {
    if (kind === "activation|i32") {
      this.#checkEither(name, actual);
      return;
    }
    if (kind === "weight") {
      if (actual === "f32" || actual === "bf16" || actual === "f16") return;
      throw this.#invalid(`${name} is ${actual}, expected f32, bf16 or f16`);
    }
    const expected = kind === "activation" ? this.#activationDType : kind;
    if (actual !== expected) throw this.#invalid(`${name} is ${actual}, expected ${expected}`);
  }

  /** The first operand says which of the two it is, and the others follow. */
  #checkEither(name: string, actual: DType): void {
    if (this.#either !== undefined && actual !== this.#either) {
      throw this.#invalid(`${name} is ${actual}, expected ${this.#either}`);
    }
    if (actual !== this.#activationDType && actual !== "i32") {
      throw this.#invalid(`${name} is ${actual}, expected ${this.#activationDType} or i32`);
    }
    this.#either = actual;
  }

  /** What the expression comes to; a symbol alone that nothing is known of yet takes the value of `actual`. */
  #expect(expression: string, actual: RowCount): RowCount {
    if (/[*/]|^\d/.test(expression)) return this.#evaluate(expression);
    const known = this.#symbols.get(expression);
    if (known !== undefined) return known;
    this.#symbols.set(expression, actual);
    return actual;
  }

  #evaluate(expression: string): RowCount {
    let value = 1;
    for (const match of expression.matchAll(/([*/]?)(\w+)/g)) {
      const term = this.#constant(match[2] as string);
      if (match[1] !== "/") {
        value = Math.min(value * term, TOO_LARGE);
      } else if (term === 0 || value % term !== 0) {
        const upToHere = expression.slice(0, match.index + match[0].length);
        throw this.#invalid(`${upToHere} is not whole: ${value}/${term}`);
      } else {
        value /= term;
      }
    }
    return constant(Math.min(value, TOO_LARGE - 1));
  }

  /** Forms multiply and divide constants alone: a symbol that stands for a dim of the run has no value here. */
  #constant(term: string): number {
    if (/^\d/.test(term)) return Number(term);
    const known = this.#symbols.get(term);
    if (known === undefined || known.dim !== null) throw this.#invalid(`${term} is not a constant`);
    return known.plus;
  }

  /** Against the operands before it. */
  #checkOutput(at: number): void {
    const output = this.#buffer(at) as ProgramBuffer;
    const outputName = operandName(this.#signature, at).name;
    if (output.arena === "weights") {
      throw this.#invalid(`${outputName} lies in the weights arena, which kernels only read`);
    }
    for (let index = 0; index < at; index++) {
      const input = this.#buffer(index);
      if (input === undefined) continue;
      const { name, inPlace } = operandName(this.#signature, index);
      if (inPlace && samePlace(input, output)) continue;
      if (overlap(this.#program, input, output)) {
        throw this.#invalid(`${outputName} overlaps ${name}${inPlace ? " without being the same view" : ""}`);
      }
    }
  }

  #print({ dim, plus }: RowCount): string {
    if (dim === null) return String(plus);
    const index = this.#program.dims.findIndex(({ name }) => name === dim);
    return `counts[${index}]${plus === 0 ? "" : `+${plus}`}`;
  }
}

function constant(plus: number): RowCount {
  return { dim: null, plus };
}

function sameCount(a: RowCount, b: RowCount): boolean {
  return a.dim === b.dim && a.plus === b.plus;
}

function samePlace(a: ProgramBuffer, b: ProgramBuffer): boolean {
  const { arena, offset, dtype, columns, rowStride } = a;
  return (
    arena === b.arena &&
    offset === b.offset &&
    dtype === b.dtype &&
    sameCount(a.rows, b.rows) &&
    columns === b.columns &&
    rowStride === b.rowStride
  );
}

/** Whether two views share a byte. Views of one stride may lie side by side within it, as the thirds of qkv do. */
function overlap(program: Program, a: ProgramBuffer, b: ProgramBuffer): boolean {
  const aBytes = bufferBytes(program, a);
  const bBytes = bufferBytes(program, b);
  if (a.arena !== b.arena || aBytes === 0 || bBytes === 0) return false;
  if (a.offset + aBytes <= b.offset || b.offset + bBytes <= a.offset) return false;
  const stride = a.rowStride * DTYPE_BYTES[a.dtype];
  if (stride !== b.rowStride * DTYPE_BYTES[b.dtype]) return true;
  const aToB = ((b.offset % stride) + stride - (a.offset % stride)) % stride;
  const bToA = (stride - aToB) % stride;
  return aToB < a.columns * DTYPE_BYTES[a.dtype] || bToA < b.columns * DTYPE_BYTES[b.dtype];
}

function badEncoding(fact: string): VitgraphError {
  return new VitgraphError("VG_PROGRAM_INVALID", fact, {
    remedy: "encode programs with encodeProgram of this version of @vitgraph/cuda-kernels",
  });
}
