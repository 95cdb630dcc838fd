/**
 * The grid cache: the device keeps the values that depend only on the grid (position embeddings, positions for RoPE)
 * for recently used grids. A run then uploads one row number per patch, and no kernel computes these values.
 *
 * A small program fills the rows of a missing grid. Submissions of a device run in order: {@link GridCache.submit}
 * submits the fills and then at once the batch, so a grid may be evicted as soon as the batches that use its rows have
 * been submitted. Nothing is pinned.
 */
import { type Arena, type Device, DTYPE_BYTES, type Executable, type Program } from "@vitgraph/cuda-kernels";
import type { CompiledGraph } from "../compiler/compile.js";
import { fillProgram } from "../compiler/fill-program.js";
import { type Capacity, elementDType } from "../compiler/memory-plan.js";
import { GRID_ROWS, type GridValues, gridValues, useGridCache } from "../compiler/use-grid-cache.js";
import { type Grid, gridKey, patchCount } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { PATCH_TABLES, type PatchTables } from "../models/patch-tables.js";
import { capacityFor } from "../models/vision-model.js";
import { bytesOf } from "../numerics.js";
import { allDone } from "./all-done.js";
import { compileForDevice } from "./compile-for-device.js";
import { type Frame, type FrameRows, GridRows } from "./grid-rows.js";
import { type StagedInput, stagedTable } from "./stage-batch.js";

/** Hits, misses and memory of a grid cache. */
export interface GridCacheStats {
  /** Items whose grid was cached, or earlier in their batch. */
  readonly hits: number;
  /** Items that were the first with their grid. */
  readonly misses: number;
  /** Grids evicted to make room for others. */
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

/** The result of a batch over the grid cache. */
export interface CachedRun<Result> {
  readonly result: Result;
  /** Frames that were not cached. */
  readonly missing: readonly Frame[];
}

/** Patches per run of the fill program: more would only make its buffers larger. */
const FILL_PATCHES = 4096;

export class GridCache implements Disposable {
  /** The model's graph over the cache. Its programs have capacities of at most {@link rows} patches. */
  readonly graph: CompiledGraph;
  readonly arena: Arena;
  readonly rows: number;
  readonly #device: Device;
  readonly #tablesOf: (frame: Frame) => PatchTables;
  readonly #rowBytes: number;
  readonly #table: GridRows;
  readonly #fill: FillProgram;
  /** Fills in flight, by their rows. */
  readonly #filling = new Map<Int32Array, Promise<unknown>>();

  /** Undefined if the model has nothing to cache, or no grid would fit. */
  static create(options: GridCacheOptions): GridCache | undefined {
    const { model, device, sizeBytes } = options;
    const values = gridValues(model.graph);
    if (values === undefined) return undefined;
    const rowBytes = values.cached.reduce((sum, node) => {
      return sum + node.type.columns * DTYPE_BYTES[elementDType(node, device)];
    }, 0);
    const rows = Math.floor(sizeBytes / rowBytes);
    if (rows < model.vision.dims.patches) return undefined;
    return new GridCache(options, values, rows, rowBytes);
  }

  private constructor(
    { model, device, weights, fuse }: GridCacheOptions,
    values: GridValues,
    rows: number,
    rowBytes: number,
  ) {
    const { vision } = model;
    this.graph = compileForDevice({ ...model, graph: useGridCache(model.graph, values, rows) }, device, fuse);
    this.rows = rows;
    this.#device = device;
    this.#tablesOf = (frame) => vision.layout(frame).patchTables();
    this.#rowBytes = rowBytes;
    this.#table = new GridRows(rows, vision.chunkFrames);
    const compiled = { graph: this.graph.fused, plan: this.graph.program(capacityFor(vision, 1)).plan };
    const program = fillProgram(values, compiled, device, Math.min(rows, FILL_PATCHES));
    this.arena = device.allocate(program.arenaBytes.cache);
    try {
      this.#fill = new FillProgram(device, program, weights, this.arena);
    } catch (error) {
      this.arena[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether programs of this capacity use the cache. */
  serves({ patches }: Capacity): boolean {
    return patches <= this.rows;
  }

  /**
   * Submits the fills of the rows that a batch lacks, and then the batch: `submit` is called before other code can evict
   * its rows.
   * @param submit submits the batch with the index of its rows
   * @throws (as a rejected promise) the error of a fill, else of the batch
   */
  async submit<Result>(
    grids: readonly Grid[],
    submit: (rows: StagedInput) => Promise<Result>,
  ): Promise<CachedRun<Result>> {
    const { rows, frames, missing } = this.#table.acquire(grids);
    for (const entry of missing) this.#submitFill(entry);
    // Includes fills of earlier batches that are still in flight.
    const filled = allDone(frames.map((frame) => this.#filling.get(frame.rows)));
    // The fill first: its error is the cause of what a run over rows that are not filled reports.
    const [, result] = await allDone([filled, submit(stagedTable(GRID_ROWS, rows))]);
    return { result, missing: missing.map(({ frame }) => frame) };
  }

  /** Fills the cache anew, with as many of the grids as fit; the first of them stay longest. */
  async warmUp(grids: readonly Grid[]): Promise<void> {
    // The grids of the self-check go: no user needs them, and a grid that is in the table must not get rows twice.
    this.#table.clear();
    const known = new Set<string>();
    let free = this.#table.freeRows;
    const frames = grids.flatMap((grid) => this.#table.framesOf(grid));
    const fitting = frames.filter((frame) => {
      const name = gridKey(frame);
      const rows = patchCount(frame);
      if (known.has(name) || rows > free) return false;
      known.add(name);
      free -= rows;
      return true;
    });
    await allDone(this.#table.add(fitting.reverse()).map((entry) => this.#submitFill(entry)));
  }

  /** Sets the counts to 0, after warm-up and measurement. */
  resetCounts(): void {
    this.#table.resetCounts();
  }

  /** Empties the cache and fills its memory with NaN. */
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
    // In an async function, so that tables that cannot be made reject as a failed run does.
    const fill = (async () => this.#fill.submit(this.#tablesOf(entry.frame), entry.rows))();
    this.#filling.set(entry.rows, fill);
    // A failure rejects the batches that wait for it; the next batch with this grid fills it again.
    fill.catch(() => this.#table.forget(entry)).finally(() => this.#filling.delete(entry.rows));
    return fill;
  }
}

/** Patch tables → the values of the grid, to the rows of the cache that an index names. */
class FillProgram implements Disposable {
  readonly #executable: Executable;
  readonly #capacity: number;
  /** The program's inputs by name. */
  readonly #inputs: ReadonlyMap<string, number>;
  readonly #arenas: Arena[] = [];

  constructor(device: Device, program: Program, weights: Arena, cache: Arena) {
    const allocate = (sizeBytes: number): Arena => {
      const arena = device.allocate(sizeBytes);
      this.#arenas.push(arena);
      return arena;
    };
    this.#capacity = program.dims[0]!.capacity;
    this.#inputs = new Map(
      program.buffers.flatMap(({ arena, name }, index) => (arena === "io" ? [[name, index] as const] : [])),
    );
    try {
      const [io, scratch] = [allocate(program.arenaBytes.io), allocate(program.arenaBytes.scratch)];
      this.#executable = device.load(program, { weights, io, scratch, cache });
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  submit(tables: PatchTables, rows: Int32Array): Promise<unknown> {
    const runs: Promise<unknown>[] = [];
    for (let start = 0; start < rows.length; start += this.#capacity) {
      const count = Math.min(this.#capacity, rows.length - start);
      const part = (table: Int32Array | Float32Array) => {
        const columns = table.length / rows.length;
        return bytesOf(table.subarray(columns * start, columns * (start + count)));
      };
      const inputs = [
        { buffer: this.#inputs.get(GRID_ROWS) as number, bytes: part(rows) },
        ...PATCH_TABLES.flatMap((name) => {
          const [buffer, table] = [this.#inputs.get(name), tables[name]];
          return buffer === undefined || table === undefined ? [] : [{ buffer, bytes: part(table) }];
        }),
      ];
      runs.push(this.#executable.submit({ counts: [count], inputs, outputs: [] }));
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
