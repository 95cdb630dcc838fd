/**
 * The grid cache: for every grid that was seen lately, the position embeddings and the positions of its patches, resident on
 * the device. A run then brings one row number for each patch, and no kernel computes embeddings.
 *
 * A grid that is not there is filled by a small program of its own and kept. Submissions of a device run in the order in
 * which they were made: so what {@link GridCache.bring} hands to the device is done before the batch that is submitted
 * *right after it*, and a grid may lose its rows to another as soon as the batches that name them have been submitted.
 * Nothing is pinned or waited for. Between `bring` and the batch's submission there must be no `await`.
 */
import {
  type Arena,
  type Device,
  DTYPE_BYTES,
  type Executable,
  type Instruction,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
} from "@vitgraph/cuda-kernels";
import type { CompiledGraph } from "../compiler/compile.js";
import type { Capacity } from "../compiler/memory-plan.js";
import { cacheableOp, GRID_ROWS, useGridCache } from "../compiler/use-grid-cache.js";
import type { AnyNode, Graph, Node } from "../graph/graph.js";
import type { Grid } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { capacityFor } from "../models/vision-model.js";
import { allDone } from "./all-done.js";
import { compileForDevice } from "./compile-for-device.js";
import { type Frame, type FrameRows, GridRows } from "./grid-rows.js";
import { bytesOf, type StagedInput, stagedTable } from "./stage-batch.js";

export interface GridCacheStats {
  /** Items whose grid was in the cache, or in their batch before. */
  readonly hits: number;
  /** Items that were the first with their grid. */
  readonly misses: number;
  /** Grids that had to make room for others. */
  readonly evictions: number;
  /** Grids in the cache, and the bytes of their rows. */
  readonly entries: number;
  readonly bytes: number;
  readonly capacityBytes: number;
}

export interface GridCacheOptions {
  readonly model: LoadedModel;
  readonly device: Device;
  readonly weights: Arena;
  readonly fuse: boolean;
  readonly sizeBytes: number;
}

/** What the runs of a batch need besides its pixels. */
export interface BroughtRows {
  readonly inputs: readonly StagedInput[];
  /** Frames that were not there. */
  readonly missing: readonly Frame[];
  /** Settles when the rows are filled; rejects, and the batch's result is worthless, where that failed. */
  readonly filled: Promise<unknown>;
}

/** Patches that the fill program takes at once: more would only make its buffers larger. */
const FILL_PATCHES = 4096;
const POSITION_BYTES = 4 * DTYPE_BYTES.i32;

export class GridCache implements Disposable {
  /** The model over the cache. Its programs are for capacities of {@link rows} patches at most: whatever fits one fits the cache. */
  readonly graph: CompiledGraph;
  readonly arena: Arena;
  readonly rows: number;
  readonly #device: Device;
  readonly #positionsOf: (frame: Frame) => Int32Array;
  readonly #rowBytes: number;
  readonly #table: GridRows;
  readonly #fill: FillProgram;
  /** Fills under way, by the rows that they fill. */
  readonly #filling = new Map<Int32Array, Promise<unknown>>();

  /** Undefined where the model has nothing to cache, or no grid would fit. */
  static create(options: GridCacheOptions): GridCache | undefined {
    const { model, device, sizeBytes } = options;
    const sampled = cacheableOp(model.graph);
    if (sampled === undefined) return undefined;
    const rowBytes = sampled.type.columns * DTYPE_BYTES[device.activationDType] + POSITION_BYTES;
    const rows = Math.floor(sizeBytes / rowBytes);
    if (rows < model.vision.spatialMergeSize ** 2) return undefined;
    return new GridCache(options, sampled, rows, rowBytes);
  }

  private constructor(
    { model, device, weights, fuse }: GridCacheOptions,
    sampled: Node<"position_embedding">,
    rows: number,
    rowBytes: number,
  ) {
    const { vision } = model;
    this.graph = compileForDevice(
      { ...model, graph: useGridCache(model.graph, sampled, rows) },
      device,
      fuse,
    );
    this.rows = rows;
    this.#device = device;
    this.#positionsOf = ({ h, w }) => vision.layout({ t: 1, h, w }).positions;
    this.#rowBytes = rowBytes;
    this.#table = new GridRows(rows);
    const program = fillProgram(this.graph, sampled, capacityFor(vision, 1), Math.min(rows, FILL_PATCHES));
    this.arena = device.allocate(program.arenaBytes.cache);
    try {
      this.#fill = new FillProgram(device, program, weights, this.arena);
    } catch (error) {
      this.arena[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether programs of this capacity run over the cache. */
  serves({ patches }: Capacity): boolean {
    return patches <= this.rows;
  }

  /** Finds or fills the rows of a batch that is submitted next, without an `await` in between. */
  bring(grids: readonly Grid[]): BroughtRows {
    const { rows, frames, missing } = this.#table.bring(grids);
    for (const entry of missing) this.#submitFill(entry);
    // Fills of batches before this one are among them, where they are still under way.
    const filled = allDone(frames.map((frame) => this.#filling.get(frame.rows)));
    return { inputs: [stagedTable(GRID_ROWS, rows)], missing: missing.map(({ frame }) => frame), filled };
  }

  /** Fills as many of the grids as fit; the first of them stay longest. */
  async warmUp(frames: readonly Frame[]): Promise<void> {
    const known = new Set<string>();
    let free = this.#table.freeRows;
    const fitting = frames.filter(({ h, w }) => {
      const name = `${h}x${w}`;
      if (known.has(name) || h * w > free) return false;
      known.add(name);
      free -= h * w;
      return true;
    });
    await allDone(this.#table.add(fitting.reverse()).map((entry) => this.#submitFill(entry)));
  }

  /** What was brought up to here was no item of a user. */
  resetCounts(): void {
    this.#table.resetCounts();
  }

  /** Forgets everything, and makes NaN of it. */
  poison(): Promise<void> {
    this.#table.clear();
    return this.#device.fill(this.arena, 0xff);
  }

  stats(): GridCacheStats {
    const { usedRows, ...counts } = this.#table.counts();
    return { ...counts, bytes: usedRows * this.#rowBytes, capacityBytes: this.rows * this.#rowBytes };
  }

  [Symbol.dispose](): void {
    this.#fill[Symbol.dispose]();
    this.arena[Symbol.dispose]();
  }

  #submitFill(entry: FrameRows): Promise<unknown> {
    const fill = this.#fill.submit(this.#positionsOf(entry.frame), entry.rows);
    this.#filling.set(entry.rows, fill);
    // Whoever waits for the batch hears of a failure; the next batch with this grid brings it again.
    fill.catch(() => this.#table.forget(entry)).finally(() => this.#filling.delete(entry.rows));
    return fill;
  }
}

/** positions → embeddings, and both to the cache's rows that an index names. */
class FillProgram implements Disposable {
  readonly #executable: Executable;
  readonly #capacity: number;
  readonly #arenas: Arena[] = [];

  constructor(device: Device, program: Program, weights: Arena, cache: Arena) {
    const allocate = (sizeBytes: number): Arena => {
      const arena = device.allocate(sizeBytes);
      this.#arenas.push(arena);
      return arena;
    };
    this.#capacity = program.dims[0]!.capacity;
    try {
      const [io, scratch] = [allocate(program.arenaBytes.io), allocate(program.arenaBytes.scratch)];
      this.#executable = device.load(program, { weights, io, scratch, cache });
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  submit(positions: Int32Array, rows: Int32Array): Promise<unknown> {
    const runs: Promise<unknown>[] = [];
    for (let start = 0; start < rows.length; start += this.#capacity) {
      const part = rows.subarray(start, start + this.#capacity);
      const inputs = [
        { buffer: POSITIONS, bytes: bytesOf(positions.subarray(4 * start, 4 * (start + part.length))) },
        { buffer: ROWS, bytes: bytesOf(part) },
      ];
      runs.push(this.#executable.submit({ counts: [part.length], inputs, outputs: [] }));
    }
    return allDone(runs);
  }

  [Symbol.dispose](): void {
    this.#executable[Symbol.dispose]();
    this.#release();
  }

  #release(): void {
    for (const arena of this.#arenas) arena[Symbol.dispose]();
  }
}

/** The fill program's buffers. */
const [TABLE, POSITIONS, ROWS, EMBEDDINGS, CACHED_EMBEDDINGS, CACHED_POSITIONS] = [0, 1, 2, 3, 4, 5] as const;

const FILL_POSITIONS: Instruction = {
  kernel: "scatter_rows",
  buffers: [POSITIONS, ROWS, CACHED_POSITIONS],
  scalars: [],
};

/** Written out: three instructions are not worth a graph, and an op that writes to the cache would be no value of one. */
function fillProgram(
  cached: CompiledGraph,
  { attributes }: Node<"position_embedding">,
  least: Capacity,
  capacity: number,
): Program {
  const { plan } = cached.program(least);
  const bufferOf = (node: AnyNode): ProgramBuffer => {
    const { name } = node;
    const { arena, offset, dtype, rowStride } = plan.placements[node.id]!;
    const { rows, columns } = node.type;
    return { name, arena, offset, dtype, rows, columns, rowStride };
  };
  const node = nodeNamed(cached.fused, "cache.embeddings")!;
  const embeddings = bufferOf(node);
  // A tower that does not rotate reads no positions.
  const positions = nodeNamed(cached.fused, "cache.positions");
  const rows = { dim: "patches", plus: 0 };
  const inIo = (name: string, offset: number, columns: number): ProgramBuffer => ({
    name,
    arena: "io",
    offset,
    dtype: "i32",
    rows,
    columns,
    rowStride: columns,
  });
  // Offsets are multiples of 256.
  const positionsBytes = Math.ceil((capacity * POSITION_BYTES) / 256) * 256;
  return {
    version: PROGRAM_VERSION,
    dims: [{ name: "patches", capacity }],
    arenaBytes: {
      weights: plan.arenaBytes.weights,
      io: positionsBytes + capacity * DTYPE_BYTES.i32,
      scratch: capacity * embeddings.columns * DTYPE_BYTES[embeddings.dtype],
      cache: plan.arenaBytes.cache,
    },
    buffers: [
      bufferOf(cached.fused.nodes[node.inputs[0]!]!),
      inIo("positions", 0, 4),
      inIo(GRID_ROWS, positionsBytes, 1),
      { ...embeddings, name: "embeddings", arena: "scratch", offset: 0, rows },
      embeddings,
      ...(positions === undefined ? [] : [bufferOf(positions)]),
    ],
    instructions: [
      { kernel: "position_embedding", buffers: [TABLE, POSITIONS, EMBEDDINGS], scalars: [attributes.side] },
      { kernel: "scatter_rows", buffers: [EMBEDDINGS, ROWS, CACHED_EMBEDDINGS], scalars: [] },
      ...(positions === undefined ? [] : [FILL_POSITIONS]),
    ],
  };
}

function nodeNamed(graph: Graph, name: string): AnyNode | undefined {
  return graph.nodes.find((node) => node.name === name);
}
