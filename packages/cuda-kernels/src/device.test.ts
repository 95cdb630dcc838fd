/** Memory, order and lifetime: what a device promises besides its kernels. */
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { VitgraphError } from "@vitgraph/errors";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createCpuDevice } from "./cpu-device.js";
import type { Arena, Device, Executable } from "./device.js";
import { PROGRAM_VERSION, type Program, type ProgramBuffer } from "./program.js";
import {
  assembleRowsCase,
  gatherRowsCase,
  type KernelCase,
  kernelCases,
  scatterRowsCase,
} from "./testing/kernel-cases.js";
import { kernelCaseProgram, runKernelCase } from "./testing/run-case.js";

const KIB = 1024;
const cases = kernelCases();
const ROW_BYTES = 8 * 4;

/** y = a + b over rows of 8, `a` and `b` and `y` in io. The simplest program with an order to get wrong. */
function addProgram(capacity: number): Program {
  const span = Math.ceil((capacity * ROW_BYTES) / 256) * 256;
  const buffer = (name: string, index: number): ProgramBuffer => ({
    name,
    arena: "io",
    offset: index * span,
    dtype: "f32",
    rows: { dim: "rows", plus: 0 },
    columns: 8,
    rowStride: 8,
  });
  return {
    version: PROGRAM_VERSION,
    dims: [{ name: "rows", capacity }],
    arenaBytes: { weights: 0, io: 3 * span, scratch: 0, cache: 0 },
    buffers: [buffer("a", 0), buffer("b", 1), buffer("y", 2)],
    instructions: [{ kernel: "add", buffers: [0, 1, 2], scalars: [] }],
  };
}

const [A, B, Y] = [0, 1, 2];

function floats(rows: number, value: number): Uint8Array {
  return new Uint8Array(new Float32Array(rows * 8).fill(value).buffer);
}

function valuesOf(bytes: Uint8Array): number[] {
  return [...new Set(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4))];
}

let device: Device;
let arenas: Record<"weights" | "io" | "scratch", Arena>;
let executable: Executable;
const ROWS = 64;

beforeEach(() => {
  device = createCpuDevice({ threads: 2 });
  const program = addProgram(ROWS);
  arenas = {
    weights: device.allocate(program.arenaBytes.weights),
    io: device.allocate(program.arenaBytes.io),
    scratch: device.allocate(program.arenaBytes.scratch),
  };
  executable = device.load(program, arenas);
});

afterEach(() => {
  for (const disposable of [executable, ...Object.values(arenas), device]) disposable[Symbol.dispose]();
});

/** The values of y. */
async function submit(a: number, b: number, rows = ROWS): Promise<number[]> {
  const inputs = [
    { buffer: A!, bytes: floats(rows, a) },
    { buffer: B!, bytes: floats(rows, b) },
  ];
  const outputs = [{ buffer: Y!, sizeBytes: rows * ROW_BYTES }];
  const result = await executable.submit({ counts: [rows], inputs, outputs });
  return valuesOf(result.outputs[0]!);
}

async function failure(run: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await run();
  } catch (error) {
    if (VitgraphError.is(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it succeeded");
}

describe("runs", () => {
  test("take their time from the device's clock", async () => {
    const { durationMs } = await executable.submit({ counts: [1], inputs: [], outputs: [] });
    expect(durationMs).toBeGreaterThan(0);
    expect(durationMs).toBeLessThan(10_000);
  });

  test("many in flight run in order, each with its own inputs, and settle in order", async () => {
    const settled: number[] = [];
    const runs = Array.from({ length: 100 }, async (_, i) => {
      const values = await submit(i, 1000 * i);
      settled.push(i);
      return values;
    });
    expect(await Promise.all(runs)).toEqual(runs.map((_, i) => [1001 * i]));
    expect(settled).toEqual(runs.map((_, i) => i));
  });

  test("uploads, fills and runs are one queue", async () => {
    const outputs = [{ buffer: Y!, sizeBytes: ROWS * ROW_BYTES }];
    const span = addProgram(ROWS).arenaBytes.io / 3;
    const [, , , { outputs: results }] = await Promise.all([
      device.fill(arenas.io, 0xff),
      device.upload(arenas.io, 0, floats(ROWS, 3)),
      device.upload(arenas.io, span, floats(ROWS, 4)),
      executable.submit({ counts: [ROWS], inputs: [], outputs }),
      device.fill(arenas.io, 0),
    ]);
    expect(results.map(valuesOf)).toEqual([[7]]);
  });

  test("JavaScript's thread does not wait for them", async () => {
    const pending = new Set(Array.from({ length: 200 }, () => submit(1, 2)));
    for (const done of pending) void done.then(() => pending.delete(done));
    // If submitting ran the program, nothing would be left to settle by now.
    expect(pending.size).toBe(200);
    await Promise.all(pending);
  });

  test("rows beyond the counts are neither read nor written", async () => {
    await device.fill(arenas.io, 0xff);
    const inputs = [A!, B!].map((buffer) => ({ buffer, bytes: floats(3, 5) }));
    const { outputs } = await executable.submit({
      counts: [3],
      inputs,
      outputs: [
        { buffer: Y!, sizeBytes: 3 * ROW_BYTES },
        { buffer: Y!, offsetBytes: 3 * ROW_BYTES, sizeBytes: (ROWS - 3) * ROW_BYTES },
      ],
    });
    expect(outputs.map(valuesOf)).toEqual([[10], [Number.NaN]]);
  });

  test("a buffer may come and go in several transfers, each at its place", async () => {
    const row = ROW_BYTES;
    await device.upload(arenas.io, 0, floats(ROWS, 0));
    const { outputs } = await executable.submit({
      counts: [8],
      inputs: [
        { buffer: A!, offsetBytes: 3 * row, bytes: floats(5, 30) },
        { buffer: A!, bytes: floats(3, 10) },
        { buffer: B!, bytes: floats(8, 1) },
      ],
      outputs: [
        { buffer: Y!, offsetBytes: 6 * row, sizeBytes: 2 * row },
        { buffer: Y!, offsetBytes: 1 * row, sizeBytes: 3 * row },
      ],
    });
    expect(outputs.map(valuesOf)).toEqual([[31], [11, 31]]);
  });

  test("each output says where it stops being finite", async () => {
    const a = new Float32Array(8 * 8).fill(1);
    a[8 + 5] = Number.NaN;
    a[8 + 6] = Number.POSITIVE_INFINITY;
    a[3 * 8 + 7] = Number.NEGATIVE_INFINITY;
    const outputs = [0, 1, 2].map((index) => ({
      buffer: Y!,
      offsetBytes: 2 * index * ROW_BYTES,
      sizeBytes: 2 * ROW_BYTES,
    }));
    const inputs = [
      { buffer: A!, bytes: new Uint8Array(a.buffer) },
      { buffer: B!, bytes: floats(8, 1) },
    ];
    const { firstNonFinite } = await executable.submit({ counts: [8], inputs, outputs });
    expect(firstNonFinite).toEqual([13, 15, -1]);
  });

  test("a bad element is found however far in it is", async () => {
    const rows = 4096;
    const program = addProgram(rows);
    using io = device.allocate(program.arenaBytes.io);
    using large = device.load(program, { ...arenas, io });
    const a = new Float32Array(rows * 8);
    const at = rows * 8 - 3;
    a[at] = Number.NaN;
    const { firstNonFinite } = await large.submit({
      counts: [rows],
      inputs: [
        { buffer: A!, bytes: new Uint8Array(a.buffer) },
        { buffer: B!, bytes: floats(rows, 0) },
      ],
      outputs: [{ buffer: Y!, sizeBytes: rows * ROW_BYTES }],
    });
    expect(firstNonFinite).toEqual([at]);
  });

  test("a failed run says what was wrong, and the next one works", async () => {
    const { dims, arenaBytes, buffers, ...rest } = addProgram(ROWS);
    const index = {
      name: "cu_seqlens",
      arena: "io",
      offset: 0,
      dtype: "i32",
      columns: 1,
      rowStride: 1,
    } as const;
    const attention: Program = {
      ...rest,
      dims: [...dims, { name: "segments", capacity: 2 }],
      arenaBytes,
      buffers: [...buffers, { ...index, rows: { dim: "segments", plus: 1 }, offset: 0 }],
      instructions: [{ kernel: "attention", buffers: [1, 1, 1, 3, 2], scalars: [2, 0.5] }],
    };
    using broken = device.load(attention, arenas);
    const bounds = new Uint8Array(Int32Array.of(0, 40, 1 << 30).buffer);
    expect(
      await failure(() =>
        broken.submit({ counts: [ROWS, 2], inputs: [{ buffer: 3, bytes: bounds }], outputs: [] }),
      ),
    ).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message:
        "instruction 0 (attention): cu_seqlens ends at 1073741824, and there are 64 patches: check the metadata that was staged for this run",
    });
    expect(await submit(1, 2)).toEqual([3]);
  });
});

test.each(["gather_rows", "scatter_rows", "linear_gather_rows"] as const)(
  "an index that leads out of its table fails the run of %s, by name",
  async (kernel) => {
    const kernelCase = cases.find(
      (candidate) => candidate.kernel === kernel && candidate.dims[0]!.count > 3,
    )!;
    const index = kernelCase.matrices.index!;
    for (const bad of [-1, 99_999]) {
      const values = index.values!.with(2, bad);
      const matrices = { ...kernelCase.matrices, index: { ...index, values } };
      const rows = kernelCase.dims[1]!.count;
      expect(await failure(() => runKernelCase(device, { ...kernelCase, matrices }))).toEqual({
        code: "VG_ARGUMENT_INVALID",
        message: `instruction 0 (${kernel}): row 2 of index is ${bad}, and the table has ${rows} rows: check the metadata that was staged for this run`,
      });
    }
  },
);

test("an index of assemble_rows that leads out of both of its tables fails the run", async () => {
  const kernelCase = assembleRowsCase({ m: 5, n: 4, tableRows: 9, learnedRows: 2 });
  const index = kernelCase.matrices.index!;
  for (const bad of [-3, 9]) {
    const matrices = { ...kernelCase.matrices, index: { ...index, values: index.values!.with(1, bad) } };
    expect(await failure(() => runKernelCase(device, { ...kernelCase, matrices }))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: `instruction 0 (assemble_rows): row 1 of index is ${bad}, and the table has 9 rows, beside 2 learned ones: check the metadata that was staged for this run`,
    });
  }
});

test("scatter_rows refuses a row that is named twice: threads write the rows in any order", async () => {
  const { matrices, ...rest } = scatterRowsCase({ m: 5, n: 4, tableRows: 9 });
  const index = { ...matrices.index!, values: Float64Array.of(3, 0, 8, 3, 1) };
  expect(await failure(() => runKernelCase(device, { ...rest, matrices: { ...matrices, index } }))).toEqual({
    code: "VG_ARGUMENT_INVALID",
    message:
      "instruction 0 (scatter_rows): row 3 of index is 3, which an earlier row names too: check the metadata that was staged for this run",
  });
});

test("what a program leaves in the cache is there for the next one", async () => {
  const scatter = scatterRowsCase({ m: 2, n: 4, tableRows: 6 });
  const gather = gatherRowsCase({ m: 2, n: 4, tableRows: 6 });
  using cache = device.allocate(4096);
  using io = device.allocate(4096);
  const load = (kernelCase: KernelCase, table: string) => {
    const program = kernelCaseProgram(kernelCase);
    const buffers = program.buffers.map((buffer) =>
      buffer.name === table ? { ...buffer, arena: "cache" as const, offset: 0 } : buffer,
    );
    const arenaBytes = { ...program.arenaBytes, cache: 9 * 16 };
    return device.load({ ...program, arenaBytes, buffers }, { ...arenas, io, cache });
  };
  using writer = load(scatter, "y");
  using reader = load(gather, "table");
  await device.fill(cache, 0xff);
  const rows = new Uint8Array(Int32Array.of(5, 1).buffer);
  const x = new Uint8Array(Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2).buffer);
  const written = writer.submit({
    counts: [2, 6],
    inputs: [
      { buffer: 0, bytes: x },
      { buffer: 1, bytes: rows },
    ],
    outputs: [],
  });
  await device.fill(io, 0xff);
  const read = reader.submit({
    counts: [2, 6],
    inputs: [{ buffer: 1, bytes: new Uint8Array(Int32Array.of(1, 5).buffer) }],
    outputs: [{ buffer: 2, sizeBytes: 32 }],
  });
  const [, { outputs }] = await Promise.all([written, read]);
  expect([...new Float32Array(outputs[0]!.buffer)]).toEqual([2, 2, 2, 2, 1, 1, 1, 1]);
});

describe("a submission that does not fit its program is refused", () => {
  const none = { inputs: [], outputs: [] };
  test.each<[message: string, submission: () => Parameters<Executable["submit"]>[0]]>([
    [
      "the submission has 2 counts, and the program 1 dims: give one count each for rows",
      () => ({ ...none, counts: [1, 2] }),
    ],
    [
      "the count of rows is 65, and its capacity 64: use a program with more capacity",
      () => ({ ...none, counts: [65] }),
    ],
    [
      "the count of rows is -1, and its capacity 64: use a program with more capacity",
      () => ({ ...none, counts: [-1] }),
    ],
    [
      "the count of rows is 1.5, and its capacity 64: use a program with more capacity",
      () => ({ ...none, counts: [1.5] }),
    ],
    [
      "input buffer 7 is not one of the program's 3: use an index into Program.buffers",
      () => ({ ...none, counts: [1], inputs: [{ buffer: 7, bytes: floats(1, 0) }] }),
    ],
    [
      "output y has 2048 bytes, and the transfer 2080: transfer no more than its rows at capacity",
      () => ({ ...none, counts: [1], outputs: [{ buffer: Y!, sizeBytes: 65 * ROW_BYTES }] }),
    ],
    [
      "output y has 2048 bytes, and the transfer 64 from byte 2016 on: transfer no more than its rows at capacity",
      () => ({
        ...none,
        counts: [1],
        outputs: [{ buffer: Y!, offsetBytes: 2016, sizeBytes: 2 * ROW_BYTES }],
      }),
    ],
    [
      "a transfer of input a starts at byte 6, and its elements have 4 bytes: start at a whole element",
      () => ({ ...none, counts: [1], inputs: [{ buffer: A!, offsetBytes: 6, bytes: floats(1, 0) }] }),
    ],
    [
      "a transfer of input a starts at byte -4, and its elements have 4 bytes: start at a whole element",
      () => ({ ...none, counts: [1], inputs: [{ buffer: A!, offsetBytes: -4, bytes: floats(1, 0) }] }),
    ],
  ])("%s", async (message, submission) => {
    expect(await failure(() => executable.submit(submission()))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message,
    });
  });

  test("buffers in other arenas, and strided ones", async () => {
    const program = addProgram(ROWS);
    const buffers = program.buffers.map((buffer, index) => ({
      ...buffer,
      columns: 2,
      rowStride: 8,
      offset: 8 * index,
    }));
    using strided = device.load({ ...program, buffers }, arenas);
    const bytes = floats(1, 0);
    expect(
      await failure(() => strided.submit({ ...none, counts: [1], inputs: [{ buffer: 0, bytes }] })),
    ).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: "input a has strided rows: transfer through a buffer whose rows lie together",
    });
    const inScratch = program.buffers.map((buffer) => ({ ...buffer, arena: "scratch" as const }));
    using scratch = device.allocate(program.arenaBytes.io);
    using elsewhere = device.load(
      {
        ...program,
        arenaBytes: { weights: 0, io: 0, scratch: program.arenaBytes.io, cache: 0 },
        buffers: inScratch,
      },
      { ...arenas, scratch },
    );
    expect(
      await failure(() => elsewhere.submit({ ...none, counts: [1], inputs: [{ buffer: 0, bytes }] })),
    ).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: "input a lies in the scratch arena: transfer to and from io buffers only",
    });
  });
});

describe("lifetime", () => {
  test("live handles count arenas and executables until they are disposed", () => {
    expect(device.liveHandles()).toBe(4);
    const arena = device.allocate(KIB);
    expect(device.liveHandles()).toBe(5);
    arena[Symbol.dispose]();
    arena[Symbol.dispose]();
    expect(device.liveHandles()).toBe(4);
    for (const handle of [executable, ...Object.values(arenas)]) handle[Symbol.dispose]();
    expect(device.liveHandles()).toBe(0);
  });

  test("everything may be disposed while runs are queued: they finish", async () => {
    const runs = Array.from({ length: 20 }, (_, i) => submit(i, i));
    for (const handle of [executable, ...Object.values(arenas), device]) handle[Symbol.dispose]();
    expect(await Promise.all(runs)).toEqual(runs.map((_, i) => [2 * i]));
    expect(device.liveHandles()).toBe(0);
  });

  test("an arena may go while a program still runs over it", async () => {
    arenas.io[Symbol.dispose]();
    expect(await submit(20, 1)).toEqual([21]);
  });

  test("what was disposed is not used", async () => {
    const program = addProgram(1);
    using gone = device.allocate(KIB);
    gone[Symbol.dispose]();
    const arenaGone = { code: "VG_DISPOSED", message: "an arena was used after it had been disposed" };
    expect(await failure(() => device.upload(gone, 0, floats(1, 0)))).toEqual(arenaGone);
    expect(await failure(() => device.fill(gone, 0))).toEqual(arenaGone);
    expect(await failure(() => device.load(program, { ...arenas, io: gone }))).toEqual(arenaGone);
    executable[Symbol.dispose]();
    expect(await failure(() => submit(1, 1))).toEqual({
      code: "VG_DISPOSED",
      message: "an executable was used after it had been disposed",
    });
    using another = device.load(program, arenas);
    device[Symbol.dispose]();
    device[Symbol.dispose]();
    const deviceGone = { code: "VG_DISPOSED", message: "a device was used after it had been disposed" };
    expect(await failure(() => device.allocate(1))).toEqual(deviceGone);
    expect(await failure(() => device.memory())).toEqual(deviceGone);
    expect(await failure(() => device.upload(arenas.io, 0, floats(1, 0)))).toEqual(deviceGone);
    expect(await failure(() => device.load(program, arenas))).toEqual(deviceGone);
    expect(await failure(() => another.submit({ counts: [1], inputs: [], outputs: [] }))).toEqual(deviceGone);
  });

  describe.runIf(process.platform === "linux")("a device's threads", () => {
    const threadCount = () => readdirSync("/proc/self/task").length;
    /** The kernel lists a thread for a moment after it was joined. No event is handled meanwhile. */
    const expectThreads = (count: number) => {
      const end = performance.now() + 60_000;
      while (threadCount() !== count && performance.now() < end);
      expect(threadCount()).toBe(count);
    };

    // libuv starts its threads with the first work for them: not between two counts.
    beforeAll(() => Promise.all(Array.from({ length: 16 }, () => readFile("/proc/self/stat"))));

    test("have ended when dispose returns, though its arenas and executables are still held", async () => {
      const before = threadCount();
      const held: unknown[] = [];
      for (let i = 0; i < 100; i++) {
        const passing = createCpuDevice({ threads: 4 });
        const [weights, io, scratch] = [0, 1, 2].map(() => passing.allocate(8 * KIB)) as [
          Arena,
          Arena,
          Arena,
        ];
        held.push(passing, passing.load(addProgram(ROWS), { weights, io, scratch }));
        await passing.fill(io, i);
        expect(threadCount()).toBeGreaterThan(before);
        passing[Symbol.dispose]();
        expectThreads(before);
      }
      expect(held).toHaveLength(200);
    });

    test("end with the last run, where runs were under way", async () => {
      const program = addProgram(ROWS);
      const before = threadCount();
      const passing = createCpuDevice({ threads: 4 });
      using weights = passing.allocate(0);
      using io = passing.allocate(program.arenaBytes.io);
      using busy = passing.load(program, { weights, io, scratch: weights });
      const runs = Array.from({ length: 50 }, () => busy.submit({ counts: [ROWS], inputs: [], outputs: [] }));
      passing[Symbol.dispose]();
      await Promise.all(runs);
      expectThreads(before);
    });

    test("end in a run that fails, too", async () => {
      const before = threadCount();
      const passing = createCpuDevice({ threads: 4 });
      const { matrices, ...rest } = scatterRowsCase({ m: 2, n: 4, tableRows: 9 });
      const index = { ...matrices.index!, values: Float64Array.of(99, 0) };
      const run = runKernelCase(passing, { ...rest, matrices: { ...matrices, index } });
      await expect(run).rejects.toThrow("row 0 of index is 99");
      passing[Symbol.dispose]();
      expectThreads(before);
    });
  });
});

describe("memory", () => {
  test("a range outside of the arena is refused", async () => {
    using arena = device.allocate(100);
    await device.upload(arena, 68, floats(1, 0));
    expect(await failure(() => device.upload(arena, 69, floats(1, 0)))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: "32 bytes at offset 69 do not fit an arena of 100",
    });
    expect(await failure(() => device.upload(arena, -1, floats(1, 0)))).toMatchObject({
      code: "VG_ARGUMENT_INVALID",
    });
    expect(await failure(() => device.fill(arena, 256))).toMatchObject({ code: "VG_ARGUMENT_INVALID" });
    expect(await failure(() => device.allocate(-1))).toMatchObject({ code: "VG_ARGUMENT_INVALID" });
  });

  test("more than the machine has is refused, saying what there is", async () => {
    const asked = 2 ** 52;
    expect(await failure(() => device.allocate(asked))).toEqual({
      code: "VG_DEVICE_OUT_OF_MEMORY",
      message: expect.stringMatching(
        /^the CPU device was asked for 4503599627370496 bytes, and \d+ of \d+ are free: use smaller token budgets, or a machine or container with more memory$/,
      ),
    });
  });

  test("the device says what is free, and of how much", () => {
    const { freeBytes, totalBytes } = device.memory();
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });

  test("arenas of another device are refused", async () => {
    using other = createCpuDevice({ threads: 1 });
    using foreign = other.allocate(KIB);
    expect(await failure(() => device.fill(foreign, 0))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: "the arena belongs to another device",
    });
    const lookalike = { sizeBytes: 1, [Symbol.dispose]() {} };
    expect(await failure(() => device.fill(lookalike, 0))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: "the arena was not made by a native device: pass what this device's allocate returned",
    });
  });
});

describe("options", () => {
  test.each([0, -1, 1.5, 2000, Number.NaN])("threads: %s is refused", async (threads) => {
    expect(await failure(() => createCpuDevice({ threads }))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: `threads is ${threads}, which is not a whole number from 1 to 1024: leave it out to use every physical core`,
    });
  });

  test("the device says what it runs on", () => {
    using single = createCpuDevice({ threads: 1, gemm: "blocked" });
    expect(single.info.backend).toBe("cpu");
    expect(single.info.facts).toMatchObject({ threads: 1, gemm: "blocked" });
    expect(single.info.name).toMatch(/, 1 thread, (avx512|avx2|sse2|neon), own GEMM$/);
  });

  test("what this machine or build lacks is refused", async () => {
    const simd = process.arch === "arm64" ? "avx2" : "neon";
    expect(await failure(() => createCpuDevice({ simd }))).toEqual({
      code: "VG_ARGUMENT_INVALID",
      message: expect.stringMatching(
        new RegExp(`^this processor does not run the instruction set ${simd}: use auto or one of `),
      ),
    });
    expect(await failure(() => createCpuDevice({ gemm: "magic" as "auto" }))).toMatchObject({
      code: "VG_ARGUMENT_INVALID",
    });
  });
});
