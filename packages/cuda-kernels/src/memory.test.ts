/**
 * JavaScript can take an array's memory away while native threads work: transfer it, resize it, write to it from another
 * thread, or do so from a getter in the middle of a call. None of that may reach memory that is not the caller's.
 * native/napi/bytes.h has the rule. The addon is called as JavaScript sees it, so that no check before it helps.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { patchifyFrames, resizeFrame } from "./imaging.js";
import { type NativeArena, type NativeDevice, type NativeExecutable, requireAddon } from "./native.js";
import { encodeProgram, PROGRAM_VERSION, type Program } from "./program.js";
import { convertFloats, foldNorm } from "./weights.js";

const addon = requireAddon("cpu");
const ROWS = 64;
const BYTES = ROWS * 4;

/** y = a + b over one column. */
const program: Program = {
  version: PROGRAM_VERSION,
  dims: [{ name: "m", capacity: ROWS }],
  arenaBytes: { weights: 0, io: 3 * BYTES, scratch: 0, cache: 0 },
  buffers: ["a", "b", "y"].map((name, index) => ({
    name,
    arena: "io",
    dtype: "f32",
    offset: index * BYTES,
    rows: { dim: "m", plus: 0 },
    columns: 1,
    rowStride: 1,
  })),
  instructions: [{ kernel: "add", buffers: [0, 1, 2], scalars: [] }],
};

let device: NativeDevice;
let arena: NativeArena;
let executable: NativeExecutable;
beforeAll(() => {
  device = addon.createDevice({ threads: 2, simd: "auto", gemm: "auto" });
  arena = device.allocate(3 * BYTES);
  executable = device.load({ words: encodeProgram(program), weights: arena, io: arena, scratch: arena });
});
afterAll(() => {
  executable.dispose();
  arena.dispose();
  device.dispose();
});

/** The array's memory goes to a buffer that nobody holds. */
function takeAway(array: Uint8Array | Uint32Array): void {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
}

const ones = () => new Uint8Array(new Float32Array(ROWS).fill(1).buffer);
const outputs = [{ buffer: 2, sizeBytes: BYTES }];

describe("the bytes of the call count, whatever happens to the array afterwards", () => {
  const changes: readonly [name: string, change: (array: Uint8Array) => void][] = [
    ["transferred", takeAway],
    ["overwritten", (array) => array.fill(0xff)],
    ["resized", (array) => (array.buffer as unknown as { resize(size: number): void }).resize(0)],
  ];

  /** An array whose memory may be resized, filled with `bytes`. */
  function resizable(bytes: Uint8Array): Uint8Array {
    const Resizable = ArrayBuffer as unknown as new (size: number, options: object) => ArrayBuffer;
    const array = new Uint8Array(new Resizable(bytes.length, { maxByteLength: bytes.length }));
    array.set(bytes);
    return array;
  }

  test.each(changes)("inputs of a run, %s", async (_, change) => {
    const [a, b] = [resizable(ones()), resizable(ones())];
    const counts = Uint32Array.of(ROWS);
    const inputs = [a, b].map((bytes, buffer) => ({ buffer, bytes }));
    const run = executable.submit({ counts, inputs, outputs });
    for (const array of [a, b]) change(array);
    takeAway(counts);
    const { outputs: results } = await run;
    expect(new Set(new Float32Array(results[0]!.buffer))).toEqual(new Set([2]));
  });

  test.each(changes)("an upload, %s", async (_, change) => {
    const bytes = resizable(ones());
    const uploaded = device.upload({ arena, offset: 0, bytes });
    change(bytes);
    await uploaded;
    const inputs = [{ buffer: 1, bytes: ones() }];
    const { outputs: results } = await executable.submit({ counts: Uint32Array.of(ROWS), inputs, outputs });
    expect(new Set(new Float32Array(results[0]!.buffer))).toEqual(new Set([2]));
  });

  test.each(changes)("frames, %s", async (_, change) => {
    const size = { height: 400, width: 300 };
    const colour = () => new Uint8Array(400 * 300 * 3).fill(90);
    const to = { height: 64, width: 32 };
    const layout = { patchSize: 16, mergeSize: 2, temporalPatchSize: 2, resizeTo: to };
    const frames = [resizable(colour()), resizable(colour())];
    const works = [resizeFrame(frames[0]!, size, to), patchifyFrames(frames, size, layout)];
    for (const frame of frames) change(frame);
    for (const result of await Promise.all(works)) expect(new Set(result)).toEqual(new Set([90]));
  });

  test.each(changes)("weights, %s", async (_, change) => {
    const arrays = [resizable(ones()), resizable(ones()), resizable(ones())];
    const [bytes, rows, scale] = arrays as [Uint8Array, Uint8Array, Uint8Array];
    const norm = { scale: new Float32Array(scale.buffer), centred: false };
    const works = [
      convertFloats(bytes, "f32", "f32"),
      foldNorm(rows, "f32", norm, "f32").then(({ weight }) => weight),
    ];
    for (const array of arrays) change(array);
    for (const result of await Promise.all(works)) expect(result).toEqual(ones());
  });

  test("a program's words, taken away by the device that loads them", () => {
    const words = encodeProgram(program);
    const request = {
      words,
      weights: arena,
      io: arena,
      get scratch() {
        takeAway(words);
        return arena;
      },
    };
    expect(() => device.load(request)).toThrow("the program has 0 words, and its header alone 14");
  });
});

describe("a getter that takes memory away in the middle of a call", () => {
  test("of a submission: the length is the one that is left", async () => {
    const bytes = ones();
    const input = {
      bytes,
      buffer: 0,
      get offsetBytes() {
        takeAway(bytes);
        return 0;
      },
    };
    const run = executable.submit({ counts: Uint32Array.of(ROWS), inputs: [input], outputs: [] });
    await expect(run).resolves.toMatchObject({ outputs: [] });
    expect(bytes).toHaveLength(0);
  });

  test("of an imaging request: the array has no bytes, and the call says so", () => {
    const rgb = new Uint8Array(12);
    const request = {
      rgb,
      height: 2,
      width: 2,
      filter: "bicubic",
      toHeight: 1,
      get toWidth() {
        takeAway(rgb);
        return 1;
      },
    };
    expect(() => addon.resizeFrame(request)).toThrow("rgb has 0 bytes, but the sizes given make it 12");
  });

  test("or disposes of the device or the executable", () => {
    const other = addon.createDevice({ threads: 1, simd: "auto", gemm: "auto" });
    const memory = other.allocate(3 * BYTES);
    const words = encodeProgram(program);
    const loaded = other.load({ words, weights: memory, io: memory, scratch: memory });
    const disposing = {
      counts: Uint32Array.of(1),
      outputs: [],
      get inputs() {
        loaded.dispose();
        return [];
      },
    };
    expect(() => loaded.submit(disposing)).toThrow("an executable was used after it had been disposed");
    const upload = {
      arena: memory,
      bytes: ones(),
      get offset() {
        other.dispose();
        return 0;
      },
    };
    expect(() => other.upload(upload)).toThrow("a device was used after it had been disposed");
  });
});

test("counts in shared memory are the ones that were checked", async () => {
  const shared = new Uint32Array(new SharedArrayBuffer(4));
  shared[0] = 2;
  const inputs = [0, 1].map((buffer) => ({ buffer, bytes: ones() }));
  const run = executable.submit({ counts: shared, inputs, outputs });
  shared[0] = 0xffffffff;
  const { outputs: results } = await run;
  expect([...new Float32Array(results[0]!.buffer).subarray(0, 2)]).toEqual([2, 2]);
});

describe("sizes whose product does not fit are refused", () => {
  const side = 2 ** 20;
  test("of a result", () => {
    const request = {
      frames: [new Uint8Array(3)],
      filter: "bicubic",
      height: 1,
      width: 1,
      toHeight: side,
      toWidth: side,
      patchSize: 1,
      mergeSize: 1,
      temporalPatchSize: 2 ** 24,
    };
    expect(() => addon.patchifyFrames(request)).toThrow(
      "16777216 · 1048576 · 1048576 · 3 bytes are more than an array can have",
    );
    const longest = 2 ** 24;
    expect(() =>
      addon.resizeFrame({ ...request, rgb: request.frames[0]!, toHeight: longest, toWidth: longest }),
    ).toThrow("the process has no memory for a result of 844424930131968 bytes");
  });

  test("of the rows between the passes of a resize: a column that becomes a row is a square there", async () => {
    const column = { height: 40_000, width: 1 };
    const row = { height: 1, width: 40_000 };
    await expect(resizeFrame(new Uint8Array(3 * 40_000), column, row)).rejects.toMatchObject({
      code: "VG_ARGUMENT_INVALID",
      message:
        "resizing 1 × 40000 pixels to 40000 × 1 takes 4800000000 bytes between its two passes, above the limit of 1073741824: keep closer to the aspect ratio",
    });
  });
});

test("no code that JavaScript can reach makes the result's array", async () => {
  const allocate = vi.spyOn(Buffer, "allocUnsafeSlow");
  const result = await addon.cmykToRgb({ cmyk: new Uint8Array(4) });
  expect(allocate).not.toHaveBeenCalled();
  allocate.mockRestore();
  // A plain array over memory of exactly its size, which may be transferred.
  expect(Object.getPrototypeOf(result)).toBe(Uint8Array.prototype);
  expect(result.buffer.byteLength).toBe(3);
  takeAway(result);
  expect(result).toHaveLength(0);
});
