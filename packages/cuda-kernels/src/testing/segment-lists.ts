/**
 * A program whose attention ops name several segment lists, in heads of several sizes, run after run: what a kernel case,
 * which is one instruction and one run, can't show.
 *
 * As in run-case.ts, all of the io arena is NaN but the real rows, and everything but the outputs' real rows must come back
 * as it was. The runs are handed over at once, so that one's lists arrive while another's tiles are in use.
 */
import type { Arena, Device } from "../device.js";
import { DTYPE_BYTES, type DType, PROGRAM_VERSION, type Program, type ProgramBuffer } from "../program.js";
import { decodeValues, encodeValues, roundValues } from "./element-values.js";
import { randomFrom } from "./kernel-cases.js";
import { type ReferenceMatrix, referenceKernel } from "./reference.js";
import { type Deviation, deviationOf } from "./run-case.js";

/** The deviation of one output of a program with several segment lists. */
export interface SegmentListResult extends Deviation {
  /** "run 3, replayed: windows, 8 heads of 80" */
  readonly name: string;
  /** Bytes that the run changed and that are none of its outputs. Must be 0. Counted once a run. */
  readonly strayBytes: number;
}

const COLUMNS = 640;
const LIST_NAMES = ["images", "windows", "rows"] as const;
type ListName = (typeof LIST_NAMES)[number];

/** Two ops share a list and a tiling, as most layers do; all others differ in one or the other. */
const OPS: readonly { readonly list: ListName; readonly heads: number }[] = [
  { list: "images", heads: 8 },
  { list: "windows", heads: 8 },
  { list: "windows", heads: 8 },
  { list: "images", heads: 10 },
  { list: "windows", heads: 5 },
  { list: "rows", heads: 8 },
];

/** Lengths of the segments of each list. */
type Run = Readonly<Record<ListName, readonly number[]>>;

const repeat = (length: number, times: number): number[] => Array.from({ length: times }, () => length);

/** What is run where there is room for `capacity` rows, a multiple of 64 from 256 on. */
function runsFor(capacity: number): readonly Run[] {
  return [
    { images: [212], windows: [64, 64, 64, 16, 4], rows: repeat(1, 212) },
    // Lists of different numbers of segments, with empty ones first, last and between.
    { images: [0, 30, 0, 40], windows: [16, 4, 1, 0, 48, 1, 0, 0], rows: [0, ...repeat(1, 70), 0] },
    { images: [], windows: [], rows: [] },
    { images: [1], windows: [1], rows: [1] },
    // All rows, and all segments of two of the lists.
    {
      images: repeat(capacity / 32, 32),
      windows: [...repeat(64, capacity / 64 - 2), ...repeat(16, 6), ...repeat(1, 32)],
      rows: repeat(1, capacity),
    },
    { images: [65, 64, 1], windows: [130], rows: repeat(2, 65) },
  ];
}

/**
 * Every run, launched step by step and then replayed, each output against float64. With a `capacity` of 2304 rows Hopper's
 * tiles are as tall as they get; 320 take a CPU a second.
 */
export async function checkSegmentLists(
  device: Device,
  capacity: number,
): Promise<readonly SegmentListResult[]> {
  const layout = layOut(device.activationDType, capacity);
  const arenas: Record<"weights" | "io" | "scratch", Arena> = {
    weights: device.allocate(0),
    io: device.allocate(layout.program.arenaBytes.io),
    scratch: device.allocate(0),
  };
  const executable = device.load(layout.program, arenas);
  try {
    const runs = runsFor(capacity).map((run, index) => new ListRun(layout, run, `run ${index + 1}`));
    const submitAll = async (how: string, order: readonly ListRun[]) => {
      const results = await Promise.all(order.map((run) => executable.submit(run.submission)));
      return order.flatMap((run, index) => run.compare(results[index]!.outputs[0]!, how));
    };
    const eager = await submitAll("eager", runs);
    const captured = (await executable.capture()) !== null;
    return captured ? [...eager, ...(await submitAll("replayed", [...runs, ...runs.toReversed()]))] : eager;
  } finally {
    for (const disposable of [executable, ...Object.values(arenas)]) disposable[Symbol.dispose]();
  }
}

interface Layout {
  readonly program: Program;
  readonly dtype: DType;
  readonly qkv: ProgramBuffer;
  readonly lists: Readonly<Record<ListName, ProgramBuffer>>;
  readonly outputs: readonly ProgramBuffer[];
  /** The buffer that is all of the io arena. */
  readonly wholeIo: number;
}

function layOut(dtype: DType, capacity: number): Layout {
  const segments: Readonly<Record<ListName, number>> = {
    images: 32,
    windows: capacity / 64 + 36,
    rows: capacity,
  };
  const dims = [
    { name: "patches", capacity },
    ...LIST_NAMES.map((name) => ({ name, capacity: segments[name] })),
  ];
  const buffers: ProgramBuffer[] = [];
  let io = 0;
  const place = (
    buffer: Omit<ProgramBuffer, "arena" | "offset" | "rowStride">,
    rows: number,
  ): ProgramBuffer => {
    const placed = { ...buffer, arena: "io", offset: io, rowStride: buffer.columns } as const;
    io += Math.ceil((rows * buffer.columns * DTYPE_BYTES[buffer.dtype]) / 256) * 256;
    buffers.push(placed);
    return placed;
  };
  const rows = { dim: "patches", plus: 0 };
  const qkv = place({ name: "qkv", dtype, rows, columns: 3 * COLUMNS }, capacity);
  const thirds = ["q", "k", "v"].map((name, third) => {
    const offset = qkv.offset + third * COLUMNS * DTYPE_BYTES[dtype];
    return buffers.push({ ...qkv, name, offset, columns: COLUMNS }) - 1;
  });
  const lists = Object.fromEntries(
    LIST_NAMES.map((name) => [
      name,
      place({ name, dtype: "i32", rows: { dim: name, plus: 1 }, columns: 1 }, segments[name] + 1),
    ]),
  ) as Record<ListName, ProgramBuffer>;
  const outputs = OPS.map((_, index) =>
    place({ name: `y${index}`, dtype, rows, columns: COLUMNS }, capacity),
  );
  const instructions = OPS.map(({ list, heads }, index) => ({
    kernel: "attention" as const,
    buffers: [...thirds, buffers.indexOf(lists[list]), buffers.indexOf(outputs[index]!)],
    scalars: [heads, scaleOf(heads)],
  }));
  const wholeIo = buffers.length;
  buffers.push({
    name: "io",
    arena: "io",
    offset: 0,
    dtype: "u8",
    rows: { dim: null, plus: io },
    columns: 1,
    rowStride: 1,
  });
  const arenaBytes = { weights: 0, io, scratch: 0, cache: 0 };
  return {
    program: { version: PROGRAM_VERSION, dims, arenaBytes, buffers, instructions },
    dtype,
    qkv,
    lists,
    outputs,
    wholeIo,
  };
}

function scaleOf(heads: number): number {
  return Math.fround(1 / Math.sqrt(COLUMNS / heads));
}

/** One run's bytes, and what they should become. */
class ListRun {
  readonly submission;
  readonly #layout: Layout;
  readonly #name: string;
  readonly #io: Uint8Array;
  readonly #rows: number;
  readonly #expected: readonly ReferenceMatrix[];

  constructor(layout: Layout, run: Run, name: string) {
    this.#layout = layout;
    this.#name = name;
    const { program, dtype, qkv, lists, wholeIo } = layout;
    const rows = run.images.reduce((sum, length) => sum + length, 0);
    this.#rows = rows;
    this.#io = new Uint8Array(program.arenaBytes.io).fill(0xff);
    const random = randomFrom(name);
    const values = roundValues(
      dtype,
      Float64Array.from({ length: rows * qkv.columns }, () => 4 * random() - 2),
    );
    this.#io.set(encodeValues(dtype, values), qkv.offset);
    const bounds = Object.fromEntries(LIST_NAMES.map((list) => [list, boundsOf(run[list])]));
    for (const list of LIST_NAMES) this.#io.set(encodeValues("i32", bounds[list]!), lists[list].offset);
    const third = (index: number) => ({
      rows,
      columns: COLUMNS,
      values: Float64Array.from({ length: rows * COLUMNS }, (_, at) => {
        return values[Math.floor(at / COLUMNS) * qkv.columns + index * COLUMNS + (at % COLUMNS)]!;
      }),
    });
    const [q, k, v] = [third(0), third(1), third(2)];
    const known = new Map<string, ReferenceMatrix>();
    this.#expected = OPS.map(({ list, heads }) => {
      const key = `${list} ${heads}`;
      const cu_seqlens = { rows: bounds[list]!.length, columns: 1, values: Float64Array.from(bounds[list]!) };
      const scalars = { heads, scale: scaleOf(heads) };
      const y =
        known.get(key) ?? referenceKernel("attention", { operands: { q, k, v, cu_seqlens }, scalars });
      known.set(key, y);
      return y;
    });
    this.submission = {
      counts: [rows, ...LIST_NAMES.map((list) => run[list].length)],
      inputs: [{ buffer: wholeIo, bytes: this.#io }],
      outputs: [{ buffer: wholeIo, sizeBytes: this.#io.length }],
    };
  }

  compare(io: Uint8Array, how: string): readonly SegmentListResult[] {
    const { dtype, outputs } = this.#layout;
    const untouched = this.#io.slice();
    const sizeBytes = this.#rows * COLUMNS * DTYPE_BYTES[dtype];
    for (const { offset } of outputs) untouched.set(io.subarray(offset, offset + sizeBytes), offset);
    let strayBytes = 0;
    for (let at = 0; at < io.length; at++) if (io[at] !== untouched[at]) strayBytes++;
    return outputs.map(({ offset }, index) => {
      const { list, heads } = OPS[index]!;
      const y = decodeValues(dtype, io.slice(offset, offset + sizeBytes));
      return {
        name: `${this.#name}, ${how}: ${list}, ${heads} heads of ${COLUMNS / heads}`,
        ...deviationOf(y, this.#expected[index]!),
        strayBytes: index === 0 ? strayBytes : 0,
      };
    });
  }
}

function boundsOf(lengths: readonly number[]): Float64Array {
  const bounds = [0];
  for (const length of lengths) bounds.push(bounds.at(-1)! + length);
  return Float64Array.from(bounds);
}
