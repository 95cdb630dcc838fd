/**
 * What the decoder refuses, and in which words. Its TypeScript twin (testing/validate.ts) is held to the same: on every
 * program here both must give the same answer, to the letter.
 */
import { VitgraphError } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createCpuDevice } from "./cpu-device.js";
import type { Arena } from "./device.js";
import { KERNEL_NAMES, KERNELS } from "./kernels.js";
import { requireAddon } from "./native.js";
import { ARENAS, type ArenaName, DTYPE_BYTES, type DType, encodeProgram, type Program } from "./program.js";
import {
  gatherRowsCase,
  kernelCases,
  linearCase,
  linearNormCase,
  linearStatisticsCase,
  ropeCase,
} from "./testing/kernel-cases.js";
import { kernelCaseProgram } from "./testing/run-case.js";
import { validateProgram } from "./testing/validate.js";

const device = createCpuDevice({ threads: 1 });
const DTYPES = Object.keys(DTYPE_BYTES) as readonly DType[];

/** What the native decoder says of a program, over arenas of the sizes that `sized` asks for. Null: it loads. */
function nativeAnswer(program: Program, sized: Program = program): string | null {
  const arenas = allocate(sized);
  try {
    device.load(program, arenas)[Symbol.dispose]();
    return null;
  } catch (error) {
    if (!VitgraphError.is(error) || error.code !== "VG_PROGRAM_INVALID") throw error;
    return error.message;
  } finally {
    for (const arena of Object.values(arenas)) arena[Symbol.dispose]();
  }
}

function twinAnswer(program: Program, { arenaBytes }: Program = program): string | null {
  const arenas = Object.fromEntries(ARENAS.map((name) => [name, { sizeBytes: arenaBytes[name] }]));
  const { activationDType, kernels } = device;
  try {
    validateProgram(program, { activationDType, kernels, arenas: arenas as Record<ArenaName, Arena> });
    return null;
  } catch (error) {
    if (!VitgraphError.is(error) || error.code !== "VG_PROGRAM_INVALID") throw error;
    return error.message;
  }
}

function allocate({ arenaBytes }: Program): Record<ArenaName, Arena> {
  return {
    weights: device.allocate(arenaBytes.weights),
    io: device.allocate(arenaBytes.io),
    scratch: device.allocate(arenaBytes.scratch),
    cache: device.allocate(arenaBytes.cache),
  };
}

// x [m, 16] in io, weight [8, 16] in weights, bias [1, 8], residual and y [m, 8] in io.
const valid = kernelCaseProgram(linearCase({ m: 4, n: 8, k: 16, bias: true, residual: true }));

function change(edit: (program: Mutable<Program>) => void): Program {
  const copy = structuredClone(valid) as Mutable<Program>;
  edit(copy);
  return copy as Program;
}

type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T;

test("a valid program loads", () => {
  expect(nativeAnswer(valid)).toBeNull();
  expect(twinAnswer(valid)).toBeNull();
});

describe("what is wrong is named with its instruction and operand", () => {
  const encoding = "encode programs with encodeProgram of this version of @vitgraph/cuda-kernels";
  const signature = "compare the instruction with the kernel's signature in KERNELS";

  test.each<[fact: string, edit: (program: Mutable<Program>) => void]>([
    [
      `the program has version 1, and this backend reads version 4: ${encoding}`,
      (p) => Object.assign(p, { version: 1 }),
    ],
    [
      `dim 0 is 4294967295, above the limit of 2147483647: ${encoding}`,
      (p) => Object.assign(p.dims[0]!, { capacity: 0xffffffff }),
    ],
    [`buffer 0 has no columns: ${encoding}`, (p) => Object.assign(p.buffers[0]!, { columns: 0 })],
    [
      `buffer 0 has a row stride of 3, below its 16 columns: ${encoding}`,
      (p) => Object.assign(p.buffers[0]!, { rowStride: 3 }),
    ],
    [
      `buffer 1: offset 2 is not a multiple of 4, the size of f32: ${encoding}`,
      (p) => Object.assign(p.buffers[1]!, { offset: 2 }),
    ],
    [
      `buffer 4 does not fit its arena: 7 rows from byte 1020 of the 1024 of io: ${encoding}`,
      (p) => Object.assign(p.buffers[4]!, { offset: 1020 }),
    ],
    [
      `buffer 1 does not fit its arena: 2147483647 rows from byte 0 of the 768 of weights: ${encoding}`,
      (p) =>
        Object.assign(p.buffers[1]!, {
          rows: { dim: null, plus: 0x7fffffff },
          columns: 0x7fffffff,
          rowStride: 0x7fffffff,
        }),
    ],
    [
      `buffer 4 has 2147483654 rows at capacity, above the limit of 2147483647: ${encoding}`,
      (p) => Object.assign(p.buffers[4]!.rows, { plus: 0x7fffffff }),
    ],
    [
      `instruction 0 (linear) leaves out weight: ${encoding}`,
      (p) => Object.assign(p.instructions[0]!.buffers, { 1: -1 }),
    ],
    [
      `instruction 0 (linear): bias is buffer 99 of 6: ${encoding}`,
      (p) => Object.assign(p.instructions[0]!.buffers, { 2: 99 }),
    ],
    [
      `instruction 0 (linear) has 4 buffers, and its signature 5: ${encoding}`,
      (p) => p.instructions[0]!.buffers.pop(),
    ],
    [
      `instruction 0 (linear) has 2 scalars, and its signature 1: ${encoding}`,
      (p) => p.instructions[0]!.scalars.push(1),
    ],
    [
      `instruction 0 (linear): activation is 9 of 5: ${signature}`,
      (p) => Object.assign(p.instructions[0]!.scalars, { 0: 9 }),
    ],
    [
      `instruction 0 (linear): x is bf16, expected f32: ${signature}`,
      (p) => Object.assign(p.buffers[0]!, { dtype: "bf16" }),
    ],
    [
      `instruction 0 (linear): weight is i32, expected f32, bf16 or f16: ${signature}`,
      (p) => Object.assign(p.buffers[1]!, { dtype: "i32" }),
    ],
    [
      `instruction 0 (linear): weight has 15 columns, expected 16 for weight [n, k]: ${signature}`,
      (p) => Object.assign(p.buffers[1]!, { columns: 15 }),
    ],
    [
      `instruction 0 (linear): bias has 2 rows, expected 1 for weight [1, n]: ${signature}`,
      (p) => Object.assign(p.buffers[2]!, { rows: { dim: null, plus: 2 } }),
    ],
    [
      `instruction 0 (linear): residual has 7 rows, expected counts[0] for activation [m, n]: ${signature}`,
      (p) => Object.assign(p.buffers[3]!, { rows: { dim: null, plus: 7 } }),
    ],
    [
      `instruction 0 (linear): y has counts[0]+1 rows, expected counts[0] for activation [m, n]: ${signature}`,
      (p) => Object.assign(p.buffers[4]!, { rows: { dim: "m", plus: 1 }, offset: 0 }),
    ],
    [
      `instruction 0 (linear): y overlaps x: ${signature}`,
      (p) => Object.assign(p.buffers[4]!, { offset: 256 }),
    ],
    [
      `instruction 0 (linear): y overlaps residual without being the same view: ${signature}`,
      (p) => Object.assign(p.buffers[4]!, { offset: p.buffers[3]!.offset + 32 }),
    ],
    [
      `instruction 0 (linear): y lies in the weights arena, which kernels only read: ${signature}`,
      (p) => Object.assign(p.buffers[4]!, { arena: "weights", offset: 0 }),
    ],
  ])("%s", (message, edit) => {
    const program = change(edit);
    expect(nativeAnswer(program)).toBe(message);
    expect(twinAnswer(program)).toBe(message);
  });

  test("shapes that a scalar decides", () => {
    const rope = ropeCase({ kernel: "rope", heads: 1, headSize: 4, grid: [1, 1] });
    const program = structuredClone(kernelCaseProgram(rope)) as Mutable<Program>;
    program.instructions[0]!.scalars[0] = 3;
    const message = `instruction 0 (rope): n/heads is not whole: 4/3: ${signature}`;
    expect(nativeAnswer(program as Program)).toBe(message);
    expect(twinAnswer(program as Program)).toBe(message);
  });

  test("an operand of either class takes the first one's dtype", () => {
    const gather = gatherRowsCase({ m: 1, n: 1, tableRows: 1 });
    const withDTypes = (table: DType, y: DType) => {
      const program = structuredClone(kernelCaseProgram(gather)) as Mutable<Program>;
      Object.assign(program.buffers[0]!, { dtype: table });
      Object.assign(program.buffers[2]!, { dtype: y });
      return program as Program;
    };
    for (const [table, y, fact] of [
      ["u8", "f32", "table is u8, expected f32 or i32"],
      ["f32", "i32", "y is i32, expected f32"],
      ["i32", "f32", "y is f32, expected i32"],
    ] as const) {
      const message = `instruction 0 (gather_rows): ${fact}: ${signature}`;
      expect(nativeAnswer(withDTypes(table, y))).toBe(message);
      expect(twinAnswer(withDTypes(table, y))).toBe(message);
    }
    expect(nativeAnswer(withDTypes("i32", "i32"))).toBeNull();
  });

  test("views side by side in one stride do not overlap", () => {
    const thirds = change((p) => {
      p.arenaBytes.io = 4096;
      Object.assign(p.buffers[3]!, { offset: 1024, rowStride: 24 });
      Object.assign(p.buffers[4]!, { offset: 1024 + 32, rowStride: 24 });
    });
    expect(nativeAnswer(thirds)).toBeNull();
    expect(twinAnswer(thirds)).toBeNull();
  });

  test("arenas that are too small", () => {
    const message =
      "the program needs 768 bytes in the weights arena, which has 0: allocate every arena for the largest of the programs that share it";
    const small = change((p) => Object.assign(p.arenaBytes, { weights: 0 }));
    expect(nativeAnswer(valid, small)).toBe(message);
    expect(twinAnswer(valid, small)).toBe(message);
  });
});

const programs = kernelCases().map(kernelCaseProgram);

/** One field of a program, replaced by a value that it might have: most break something, some don't. */
const mutation = fc.record({
  program: fc.nat({ max: programs.length - 1 }),
  edits: fc.array(
    fc.record({
      field: fc.constantFrom(
        ...(["arena", "dtype", "offset", "plus", "dim", "columns", "rowStride"] as const),
        ...(["capacity", "arenaBytes", "kernel", "operand", "scalar"] as const),
      ),
      at: fc.nat(),
      value: fc.oneof(
        fc.nat({ max: 9 }),
        fc.nat({ max: 5000 }).map((n) => 4 * n),
        fc.constantFrom(0x7fffffff, 0x80000000, 0xffffffff),
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate({ program: index, edits }: Mutation): Program {
  const program = structuredClone(programs[index]!) as Mutable<Program>;
  for (const { field, at, value } of edits) {
    const buffer = program.buffers[at % program.buffers.length]!;
    const instruction = program.instructions[0]!;
    switch (field) {
      case "arena":
        buffer.arena = ARENAS[value % ARENAS.length]!;
        break;
      case "dtype":
        buffer.dtype = DTYPES[value % DTYPES.length]!;
        break;
      case "plus":
        buffer.rows.plus = value;
        break;
      case "dim":
        buffer.rows.dim = program.dims[value % (program.dims.length + 1)]?.name ?? null;
        break;
      case "offset":
      case "columns":
      case "rowStride":
        buffer[field] = value;
        break;
      case "capacity":
        program.dims[at % program.dims.length]!.capacity = value;
        break;
      case "arenaBytes":
        program.arenaBytes[ARENAS[at % ARENAS.length]!] = value;
        break;
      case "kernel":
        instruction.kernel = KERNEL_NAMES[value % KERNEL_NAMES.length]!;
        break;
      case "operand":
        if (instruction.buffers.length > 0) {
          instruction.buffers[at % instruction.buffers.length] = (value % (program.buffers.length + 1)) - 1;
        }
        break;
      case "scalar": {
        // Among those that are there: a kernel that was swapped in may ask for more.
        const index = at % Math.max(1, instruction.scalars.length);
        const kinds: readonly string[] = Object.values(KERNELS[instruction.kernel].scalars);
        if (index < instruction.scalars.length && kinds[index] === "u32") instruction.scalars[index] = value;
        break;
      }
      default:
        field satisfies never;
    }
  }
  // A kernel that was swapped in may read a number as a count.
  for (const { kernel, scalars } of program.instructions) {
    const kinds: readonly string[] = Object.values(KERNELS[kernel].scalars);
    for (const [index, kind] of kinds.entries()) {
      if (kind === "u32" && scalars[index] !== undefined) scalars[index] = Math.trunc(scalars[index]);
    }
  }
  return program as Program;
}

test.each([
  ["overlaps x", { arena: "io", offset: 0 }],
  ["lies in the weights arena, which kernels only read", { arena: "weights", offset: 0 }],
] as const)("a kernel's second output, too: statistics that %s", (fact, place) => {
  const program = structuredClone(
    kernelCaseProgram(linearStatisticsCase({ m: 40, n: 8, k: 64 })),
  ) as Mutable<Program>;
  expect(nativeAnswer(program as Program)).toBeNull();
  Object.assign(program.buffers.find(({ name }) => name === "statistics")!, place);
  program.arenaBytes.weights = program.arenaBytes.io;
  const answer = nativeAnswer(program as Program);
  expect(answer).toContain(`instruction 0 (linear_statistics): statistics ${fact}`);
  expect(twinAnswer(program as Program)).toBe(answer);
});

test.each([
  ["statistics have 1 columns, expected at least 2", { columns: 1, rowStride: 1 }],
  ["the rows of statistics do not divide into those of x", { rows: { dim: null, plus: 2 } }],
] as const)("a run says that %s", async (fact, edit) => {
  const program = structuredClone(
    kernelCaseProgram(linearNormCase({ m: 3, n: 8, k: 16, norm: "layernorm" })),
  ) as Mutable<Program>;
  // The norm alone.
  program.instructions.shift();
  for (const buffer of program.buffers) if (buffer.name === "statistics") Object.assign(buffer, edit);
  const arenas = allocate(program as Program);
  const executable = device.load(program as Program, arenas);
  const counts = program.dims.map(({ capacity }) => capacity);
  await expect(executable.submit({ counts, inputs: [], outputs: [] })).rejects.toThrow(
    `(linear_norm): ${fact}`,
  );
  executable[Symbol.dispose]();
  for (const arena of Object.values(arenas)) arena[Symbol.dispose]();
});

test("decoder and twin agree on every mutation of a valid program", () => {
  let loaded = 0;
  fc.assert(
    fc.property(mutation, (m) => {
      const program = mutate(m);
      const sized = programs[m.program]!;
      const answer = nativeAnswer(program, sized);
      if (answer === null) loaded += 1;
      expect(twinAnswer(program, sized)).toBe(answer);
    }),
    { numRuns: 3000 },
  );
  // Neither everything nor nothing gets through.
  expect(loaded).toBeGreaterThan(100);
  expect(loaded).toBeLessThan(2500);
});

test("whatever loads runs, on any metadata and counts: it finishes, or says what was wrong", async () => {
  await fc.assert(
    fc.asyncProperty(mutation, fc.infiniteStream(fc.nat({ max: 255 })), async (m, random) => {
      const program = mutate(m);
      const { arenaBytes } = programs[m.program]!;
      const whole = program.buffers.length - 1;
      if (
        program.buffers.some(({ rows }) => rows.plus > 1e6) ||
        program.dims.some(({ capacity }) => capacity > 1e6)
      )
        return;
      const arenas = allocate({ ...program, arenaBytes });
      try {
        using executable = device.load(program, arenas);
        const bytes = Uint8Array.from({ length: arenaBytes.io }, () => random.next().value % 3);
        const { columns, rowStride, rows, arena } = program.buffers[whole]!;
        const fits =
          arena === "io" && columns === rowStride && rows.dim === null && rows.plus * columns >= bytes.length;
        const counts = program.dims.map(({ capacity }) => random.next().value % (capacity + 1));
        await executable.submit({ counts, inputs: fits ? [{ buffer: whole, bytes }] : [], outputs: [] });
      } catch (error) {
        if (!VitgraphError.is(error)) throw error;
        expect(["VG_PROGRAM_INVALID", "VG_ARGUMENT_INVALID"]).toContain(error.code);
      } finally {
        for (const a of Object.values(arenas)) a[Symbol.dispose]();
      }
    }),
    { numRuns: 1500 },
  );
});

test("a number that is not a word of 32 bits is refused, not taken modulo 2³²", () => {
  const program = kernelCaseProgram(linearCase({ m: 4, n: 4, k: 4 }));
  const [first, ...others] = program.buffers;
  for (const columns of [2 ** 32 + 4, 4.5, Number.NaN]) {
    const buffers = [{ ...first!, columns }, ...others];
    expect(() => encodeProgram({ ...program, buffers })).toThrow(
      `a program cannot hold ${columns} in a word of 32 bits: use capacities, columns and strides`,
    );
  }
  const dims = program.dims.map((dim) => ({ ...dim, capacity: 2 ** 32 + 1 }));
  expect(() => encodeProgram({ ...program, dims })).toThrow("cannot hold 4294967297");
});

test("no sequence of words makes the decoder do anything but load or refuse", () => {
  const native = requireAddon("cpu").createDevice({ threads: 1, simd: "auto", gemm: "auto" });
  const arena = native.allocate(1 << 20);
  const base = programs.map(encodeProgram);
  const word = fc.oneof(fc.nat({ max: 20 }), fc.constantFrom(0xffffffff, 0x7fffffff, 0x80000000), fc.nat());
  const mangled = fc.record({
    program: fc.nat({ max: base.length - 1 }),
    edits: fc.array(fc.tuple(fc.nat(), word), { maxLength: 6 }),
    cut: fc.option(fc.nat(), { freq: 4 }),
  });
  fc.assert(
    fc.property(mangled, ({ program, edits, cut }) => {
      const words = base[program]!.slice(0, cut === null ? undefined : cut % (base[program]!.length + 1));
      for (const [at, value] of edits) if (words.length > 0) words[at % words.length] = value;
      try {
        native.load({ words, weights: arena, io: arena, scratch: arena }).dispose();
      } catch (error) {
        expect((error as { code: string }).code).toBe("VG_PROGRAM_INVALID");
      }
    }),
    { numRuns: 5000 },
  );
  native.dispose();
});
