/**
 * Mutated programs. The decoder loads what its TypeScript twin accepts, and refuses the rest. What loads computes what the
 * reference says, from nothing but the real rows of its operands, and writes nothing but the real rows of its output.
 *
 * Every byte of memory that is no real row of an operand is 0xff, a NaN in each float type: a read beyond the operands
 * shows in the result, and a write in the bytes afterwards. Each arena is exactly as large as the program asks for, so
 * that a sanitizer sees accesses beyond it.
 */
import {
  ARENAS,
  type ArenaName,
  DTYPE_BYTES,
  type DType,
  encodeProgram,
  KERNEL_NAMES,
  KERNELS,
  type KernelSignature,
  PIXEL_FORMATS,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
} from "@vitgraph/cuda-kernels";
import {
  decodeValues,
  deviationOf,
  F32_TOLERANCES,
  kernelCaseProgram,
  kernelCases,
  type ReferenceMatrix,
  referenceKernel,
  validateProgram,
} from "@vitgraph/cuda-kernels/testing";
import fc from "fast-check";
import type { FuzzTarget } from "./fuzz-target.js";
import { codeOf, type NativeArena, openNativeDoor } from "./native-door.js";

/** Larger arenas than this are not allocated: the program is held against those of the case. */
const LARGEST_ARENA_BYTES = 1 << 18;
/** Larger products and attentions take the reference too long. */
const MOST_MULTIPLICATIONS = 2_000_000;
/** The tolerances hold for the op suite's values, which are drawn to be kind; these are not. */
const TOLERANCE_FACTOR = 10;

const door = openNativeDoor();
const device = door.createDevice({ threads: 2, simd: "auto", gemm: "auto" });
const kernels = new Set(KERNEL_NAMES);
const cases = kernelCases()
  .map((kernelCase) => ({
    program: kernelCaseProgram(kernelCase),
    counts: kernelCase.dims.map((d) => d.count),
  }))
  .filter(({ program, counts }) => {
    const bytes = ARENAS.reduce((sum, arena) => sum + program.arenaBytes[arena], 0);
    return bytes <= 1 << 14 && counts.every((count) => count > 0);
  });
/** By the last kernel: those that read row statistics have the one that writes them before them. */
const casesOf = new Map(
  KERNEL_NAMES.map((name) => [
    name,
    cases.filter(({ program }) => program.instructions.at(-1)?.kernel === name),
  ]),
);
for (const [name, { length }] of casesOf) if (length === 0) throw new Error(`no small case of ${name}`);

const input = fc.record({
  kernel: fc.constantFrom(...KERNEL_NAMES),
  case: fc.nat(),
  edits: fc.array(
    fc.record({
      at: fc.nat({ max: 200 }),
      value: fc.oneof(
        fc.nat({ max: 20 }),
        fc.nat({ max: 600 }).map((n) => 4 * n),
        fc.constantFrom(0x7fffffff, 0x80000000, 0xffffffff),
      ),
    }),
    { maxLength: 2 },
  ),
  /** Words that are missing at the end. */
  cut: fc.oneof({ weight: 19, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 100 }) }),
  counts: fc.oneof(fc.constant(undefined), fc.array(fc.nat({ max: 40 }), { minLength: 4, maxLength: 4 })),
  /** Whether index buffers hold rows that exist. */
  valid: fc.boolean(),
  seed: fc.nat(),
});

type Input = typeof input extends fc.Arbitrary<infer T> ? T : never;

async function check({ kernel, case: which, edits, cut, counts: drawn, valid, seed }: Input): Promise<void> {
  const candidates = casesOf.get(kernel)!;
  const original = candidates[which % candidates.length]!;
  const words = encodeProgram(original.program).slice(0, cut === 0 ? undefined : -cut);
  for (const { at, value } of edits) if (words.length > 0) words[at % words.length] = value;
  const program = decodeWords(words);
  const sizes = program !== null && isSmall(program) ? program.arenaBytes : original.program.arenaBytes;

  const arenas = Object.fromEntries(ARENAS.map((name) => [name, device.allocate(sizes[name])]));
  try {
    let executable: ReturnType<typeof device.load>;
    try {
      executable = device.load({ words, ...arenas });
    } catch (error) {
      if (codeOf(error) !== "VG_PROGRAM_INVALID") throw error;
      if (program !== null && twinAccepts(program, sizes)) throw error;
      return;
    }
    try {
      if (program === null || !twinAccepts(program, sizes))
        throw new Error("a program that the twin refuses was loaded");
      const counts = program.dims.map(
        ({ capacity }, index) => (drawn?.[index] ?? original.counts[index] ?? 0) % (capacity + 1),
      );
      const run = new Run(program, counts, sizes, new Random(seed));
      if (run.multiplications() > MOST_MULTIPLICATIONS) return;
      // The reference computes one instruction. Of two only that they end is known.
      const single = program.instructions.length === 1;
      const certain = run.fillMemory(valid) && single;
      await run.upload(arenas as Record<ArenaName, NativeArena>);
      try {
        await executable.submit({ counts: Uint32Array.from(counts), inputs: [], outputs: [] });
      } catch (error) {
        if (codeOf(error) !== "VG_ARGUMENT_INVALID" || certain) throw error;
        return;
      }
      if (single) await run.compare(arenas as Record<ArenaName, NativeArena>);
    } finally {
      executable.dispose();
    }
  } finally {
    for (const arena of Object.values(arenas)) arena.dispose();
  }
}

export default {
  name: "program-decoder",
  property: fc.asyncProperty(input, check),
  shortRunInputs: 1000,
} satisfies FuzzTarget;

function isSmall({ arenaBytes }: Program): boolean {
  return ARENAS.every((name) => arenaBytes[name] <= LARGEST_ARENA_BYTES);
}

function twinAccepts(program: Program, sizes: Program["arenaBytes"]): boolean {
  const arenas = Object.fromEntries(ARENAS.map((name) => [name, { sizeBytes: sizes[name] }]));
  try {
    validateProgram(program, { activationDType: "f32", kernels, arenas });
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== "VG_PROGRAM_INVALID") throw error;
    return false;
  }
}

/** The inverse of `encodeProgram`; null where the words are none of its results. */
function decodeWords(words: Uint32Array): Program | null {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  let at = 0;
  const next = () => words[at++]!;
  const nextLong = () => next() + next() * 2 ** 32;
  const [HEADER, BUFFER, INSTRUCTION] = [14, 8, 3];
  if (words.length < HEADER || next() !== 0x50475456 || next() !== PROGRAM_VERSION) return null;
  const [dims, buffers, instructions, total] = [next(), next(), next(), next()];
  if (total !== words.length) return null;
  if (HEADER + dims + buffers * BUFFER + instructions * INSTRUCTION > words.length) return null;
  const longs = ARENAS.map(nextLong);
  if (longs.some((bytes) => bytes > 2 ** 53)) return null;
  const program = {
    version: PROGRAM_VERSION,
    arenaBytes: Object.fromEntries(
      ARENAS.map((name, index) => [name, longs[index]]),
    ) as Program["arenaBytes"],
    dims: Array.from({ length: dims }, (_, index) => ({ name: `${index}`, capacity: next() })),
    buffers: [] as ProgramBuffer[],
    instructions: [] as Program["instructions"][number][],
  } satisfies Program;
  for (let index = 0; index < buffers; index++) {
    const arena = ARENAS[next()];
    const dtype = (Object.keys(DTYPE_BYTES) as DType[])[next()];
    const offset = nextLong();
    const dim = next();
    if (arena === undefined || dtype === undefined || (dim !== 0xffffffff && dim >= dims)) return null;
    const rows = { dim: dim === 0xffffffff ? null : `${dim}`, plus: next() };
    program.buffers.push({
      name: `${index}`,
      arena,
      dtype,
      offset,
      rows,
      columns: next(),
      rowStride: next(),
    });
  }
  for (let index = 0; index < instructions; index++) {
    if (words.length - at < INSTRUCTION) return null;
    const kernel = KERNEL_NAMES[next()];
    const [operands, scalars] = [next(), next()];
    if (kernel === undefined || words.length - at < operands + scalars) return null;
    const indices = Array.from({ length: operands }, () => next() | 0);
    const kinds: readonly string[] = Object.values(KERNELS[kernel].scalars);
    const values = Array.from({ length: scalars }, (_, i) => (kinds[i] === "f32" ? floats[at++]! : next()));
    program.instructions.push({ kernel, buffers: indices, scalars: values });
  }
  return at === words.length ? program : null;
}

/** One instruction over memory of which everything is known. */
class Run {
  readonly #program: Program;
  readonly #counts: readonly number[];
  readonly #random: Random;
  readonly #memory: Readonly<Record<ArenaName, Uint8Array>>;

  constructor(program: Program, counts: readonly number[], sizes: Program["arenaBytes"], random: Random) {
    this.#program = program;
    this.#counts = counts;
    this.#random = random;
    const poisoned = (name: ArenaName) => new Uint8Array(sizes[name]).fill(0xff);
    this.#memory = {
      weights: poisoned("weights"),
      io: poisoned("io"),
      scratch: poisoned("scratch"),
      cache: poisoned("cache"),
    };
  }

  multiplications(): number {
    const { y, x, q } = this.#operands();
    if (y === undefined) return 0;
    return this.#rowsOf(y) * y.columns * (q === undefined ? (x?.columns ?? 1) : this.#rowsOf(q));
  }

  /** True where the kernel has no reason to refuse the contents. */
  fillMemory(valid: boolean): boolean {
    const operands = this.#operands();
    for (const buffer of Object.values(operands)) {
      // As f32 between 1/2 and 4, with a lower half of zeros: a sane number in each of the float types.
      this.#eachByte(buffer, (memory, at) => {
        memory[at] = [0, 0, this.#random.below(256), at % 8 === 3 ? 0x3f : 0xbf][at % 4]!;
      });
    }
    return valid ? this.#fillIndices(operands) : this.#fillWithAnything(operands);
  }

  async upload(arenas: Readonly<Record<ArenaName, NativeArena>>): Promise<void> {
    for (const name of ARENAS)
      await device.upload({ arena: arenas[name], offset: 0, bytes: this.#memory[name] });
  }

  /** Holds all memory against what it was before the run, and the output against the reference. */
  async compare(arenas: Readonly<Record<ArenaName, NativeArena>>): Promise<void> {
    const after = Object.fromEntries(
      await Promise.all(
        ARENAS.map(async (name) => [name, await readArena(arenas[name], this.#memory[name].length)]),
      ),
    ) as Record<ArenaName, Uint8Array>;
    const instruction = this.#program.instructions[0];
    if (instruction === undefined) return;
    const operands = this.#operands();
    const output = operands.y!;
    const computed = this.#dense(output, after[output.arena]);
    const expected = Object.fromEntries(
      ARENAS.map((name) => [name, this.#memory[name].slice()]),
    ) as typeof after;
    // What else the kernel writes: the op suite holds it against float64.
    const written = instruction.kernel === "linear_statistics" ? [output, operands.statistics!] : [output];
    for (const buffer of written) {
      this.#eachByte(buffer, (_, at) => {
        expected[buffer.arena][at] = after[buffer.arena][at]!;
      });
    }
    for (const name of ARENAS) {
      if (Buffer.compare(after[name], expected[name]) !== 0)
        throw new Error(`${instruction.kernel} wrote beside its outputs, to ${name}`);
    }
    const scalars = this.#scalars();
    if (Object.values(scalars).some((value) => !Number.isInteger(value) && !(value > 1e-7 && value < 4)))
      return;
    const reference = referenceKernel(instruction.kernel, {
      operands: Object.fromEntries(
        Object.entries(operands).map(([name, buffer]) => [
          name,
          name === "pixels" ? this.#span(buffer) : this.#dense(buffer, this.#memory[buffer.arena]),
        ]),
      ),
      scalars,
    });
    // Pixels of the format `normalized` are whatever bytes are there.
    if (!reference.values.every((value) => Math.abs(value) < 1e30)) return;
    const { relativeL2, relativeMax } = F32_TOLERANCES[instruction.kernel];
    const deviation = deviationOf(computed.values, reference);
    // Indices that share memory with an operand are denormal as f32, where relative precision ends.
    const isTiny = reference.values.every((value) => Math.abs(value) < 1e-30);
    if (
      isTiny
        ? computed.values.every((value) => Math.abs(value) < 1e-6)
        : deviation.relativeL2 <= TOLERANCE_FACTOR * relativeL2 &&
          deviation.relativeMax <= TOLERANCE_FACTOR * relativeMax
    )
      return;
    throw new Error(`${instruction.kernel} is off by ${JSON.stringify(deviation)}`);
  }

  #operands(): Readonly<Record<string, ProgramBuffer>> {
    const instruction = this.#program.instructions[0];
    if (instruction === undefined) return {};
    const names = KERNELS[instruction.kernel].buffers;
    return Object.fromEntries(
      names.flatMap((name, index) => {
        const buffer = this.#program.buffers[instruction.buffers[index]!];
        return buffer === undefined ? [] : [[name.replace("?", ""), buffer]];
      }),
    );
  }

  #scalars(): Readonly<Record<string, number>> {
    const { kernel, scalars } = this.#program.instructions[0]!;
    const signature: KernelSignature = KERNELS[kernel];
    return Object.fromEntries(Object.keys(signature.scalars).map((name, index) => [name, scalars[index]!]));
  }

  #rowsOf({ rows }: ProgramBuffer): number {
    return (rows.dim === null ? 0 : this.#counts[Number(rows.dim)]!) + rows.plus;
  }

  /** The bytes of the buffer's real rows, by address. */
  #eachByte(buffer: ProgramBuffer, visit: (memory: Uint8Array, at: number) => void): void {
    const size = DTYPE_BYTES[buffer.dtype];
    const rows = this.#rowsOf(buffer);
    for (let row = 0; row < rows; row++) {
      const start = buffer.offset + row * buffer.rowStride * size;
      for (let at = start; at < start + buffer.columns * size; at++) visit(this.#memory[buffer.arena], at);
    }
  }

  #dense(buffer: ProgramBuffer, memory: Uint8Array): ReferenceMatrix {
    const bytes: number[] = [];
    this.#eachByte(buffer, (_, at) => bytes.push(memory[at]!));
    const values = decodeValues(buffer.dtype, Uint8Array.from(bytes));
    return { rows: this.#rowsOf(buffer), columns: buffer.columns, values };
  }

  /** Pixels are addressed in bytes from their start, whatever their rows. */
  #span(buffer: ProgramBuffer): ReferenceMatrix {
    const rows = this.#rowsOf(buffer);
    const columns = rows === 0 ? 0 : (rows - 1) * buffer.rowStride + buffer.columns;
    const bytes = this.#memory[buffer.arena].subarray(buffer.offset, buffer.offset + columns);
    return { rows: 1, columns, values: decodeValues("u8", bytes) };
  }

  #put(buffer: ProgramBuffer, row: number, values: readonly number[]): void {
    const memory = this.#memory[buffer.arena];
    const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    for (const [column, value] of values.entries()) {
      view.setInt32(buffer.offset + (row * buffer.rowStride + column) * 4, value, true);
    }
  }

  #fillIndices({
    patch_sources: sources,
    positions,
    cu_seqlens: bounds,
    index,
    ...others
  }: Readonly<Record<string, ProgramBuffer>>): boolean {
    const random = this.#random;
    if (sources !== undefined) {
      const { channels, temporal, patch_area: area } = this.#scalars() as Record<string, number>;
      const pixelBytes = this.#span(others.pixels!).columns;
      for (let row = 0; row < this.#rowsOf(sources); row++) {
        const format = random.below(3);
        const frames = format === PIXEL_FORMATS.u8_still ? 1 : temporal!;
        const room = pixelBytes - channels! * frames * area! * (format === PIXEL_FORMATS.normalized ? 4 : 1);
        if (room < 0) return false;
        this.#put(sources, row, [(4 * random.below(Math.floor(room / 4) + 1)) | format]);
      }
    }
    if (positions !== undefined) {
      const limit = this.#rowsOf(others.angles!);
      if (limit === 0 && this.#rowsOf(positions) > 0) return false;
      for (let row = 0; row < this.#rowsOf(positions); row++) {
        this.#put(positions, row, [random.below(limit), random.below(limit)]);
      }
    }
    if (bounds !== undefined) {
      const patches = this.#rowsOf(others.q!);
      const last = this.#rowsOf(bounds) - 1;
      if (last < 0 ? patches > 0 : last === 0 && patches > 0) return false;
      const inner = Array.from({ length: Math.max(0, last - 1) }, () => random.below(patches + 1)).sort(
        (a, b) => a - b,
      );
      for (const [row, bound] of [0, ...inner, patches].slice(0, last + 1).entries())
        this.#put(bounds, row, [bound]);
    }
    if (index !== undefined) {
      // Negative values name learned rows.
      const learned = others.learned === undefined ? 0 : this.#rowsOf(others.learned);
      const gathered = others.table ?? (others.learned && others.x);
      const table = this.#rowsOf((gathered ?? others.y)!);
      const rows = this.#rowsOf(index);
      const scatters = gathered === undefined;
      if (scatters ? rows > table : rows > 0 && table + learned === 0) return false;
      const order = scatters ? random.order(table) : undefined;
      const named = (row: number) =>
        Array.from({ length: index.columns }, () => order?.[row] ?? random.below(table + learned) - learned);
      for (let row = 0; row < rows; row++) this.#put(index, row, named(row));
    }
    return true;
  }

  #fillWithAnything(operands: Readonly<Record<string, ProgramBuffer>>): boolean {
    const few = [0, 1, 2, 3, -1, 0x7fffffff, -0x80000000];
    for (const buffer of Object.values(operands)) {
      if (buffer.dtype !== "i32") continue;
      for (let row = 0; row < this.#rowsOf(buffer); row++) {
        this.#put(
          buffer,
          row,
          Array.from({ length: buffer.columns }, () => few[this.#random.below(few.length)]!),
        );
      }
    }
    return false;
  }
}

/** Runs a program without instructions over the arena, which is its io. */
async function readArena(arena: NativeArena, sizeBytes: number): Promise<Uint8Array> {
  const nothing = device.allocate(0);
  const executable = device.load({
    words: encodeProgram({
      version: PROGRAM_VERSION,
      dims: [],
      arenaBytes: { weights: 0, io: sizeBytes, scratch: 0, cache: 0 },
      buffers: [
        {
          name: "io",
          arena: "io",
          offset: 0,
          dtype: "u8",
          rows: { dim: null, plus: sizeBytes },
          columns: 1,
          rowStride: 1,
        },
      ],
      instructions: [],
    }),
    weights: nothing,
    io: arena,
    scratch: nothing,
  });
  try {
    const counts = new Uint32Array();
    const { outputs } = await executable.submit({ counts, inputs: [], outputs: [{ buffer: 0, sizeBytes }] });
    return outputs[0]!;
  } finally {
    executable.dispose();
    nothing.dispose();
  }
}

/** Numbers that a seed decides. */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  /** The numbers below `count` in any order. */
  order(count: number): number[] {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}
