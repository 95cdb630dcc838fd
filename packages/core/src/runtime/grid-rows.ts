/**
 * Allocates the rows of the grid cache to grids: bookkeeping only, no device.
 *
 * A grid has one row per patch of one frame, or of a chunk of frames that differ. Every patch has its own row number, so
 * a grid takes any free rows, and there is no fragmentation. The least recently used grid is evicted when others need its
 * rows.
 */
import { VitgraphError } from "@vitgraph/errors";
import { type Grid, type GridPart, partsInRowOrder, patchCount } from "../item.js";

/** What is cached of a grid: one frame (t = 1), since frames repeat, or a chunk of t frames that differ. */
export type Frame = GridPart;

/** A frame and its rows, one a patch in the layout's order. */
export interface FrameRows {
  readonly frame: Frame;
  readonly rows: Int32Array;
}

export interface AcquiredGrids {
  /** For each patch of all grids, in their order, its row of the cache. */
  readonly rows: Int32Array;
  /** The frames of the grids, each once. */
  readonly frames: readonly FrameRows[];
  /** The frames that were not cached: their rows must be filled. */
  readonly missing: readonly FrameRows[];
}

export interface GridRowCounts {
  /** Hits: grids that were cached, or earlier in their batch. Misses: the first grids of their size. */
  readonly hits: number;
  readonly misses: number;
  /** Grids evicted to make room for others. */
  readonly evictions: number;
  /** Grids in the cache. */
  readonly entries: number;
  readonly usedRows: number;
}

export class GridRows {
  readonly capacity: number;
  readonly #chunkFrames: number;
  /** By frame, the least recently used first. */
  readonly #frames = new Map<string, FrameRows>();
  /** The first `#freeCount` are free rows. */
  readonly #free: Int32Array;
  #freeCount: number;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  /** @param chunkFrames of the model */
  constructor(capacity: number, chunkFrames = 1) {
    this.capacity = capacity;
    this.#chunkFrames = chunkFrames;
    this.#free = Int32Array.from({ length: capacity }, (_, index) => capacity - 1 - index);
    this.#freeCount = capacity;
  }

  get freeRows(): number {
    return this.#freeCount;
  }

  /**
   * Allocates rows for the grids of a batch that are not cached, and returns the rows of all of them. The batch's own grids
   * are never evicted for each other: together they must have at most as many patches as there are rows.
   */
  acquire(grids: readonly Grid[]): AcquiredGrids {
    const runs = grids.flatMap((grid) => this.#runsOf(grid));
    const frames = new Map(runs.map(({ frame }) => [keyOf(frame), frame]));
    const patches = [...frames.values()].reduce((sum, frame) => sum + patchCount(frame), 0);
    if (patches > this.capacity) {
      throw new VitgraphError(
        "VG_INTERNAL",
        `the grids of a batch have ${patches} patches, and the grid cache ${this.capacity} rows`,
      );
    }
    const missing: Frame[] = [];
    for (const [key, frame] of frames) {
      const known = this.#frames.get(key);
      if (known === undefined) {
        missing.push(frame);
        continue;
      }
      // To the end, where the most recently used are.
      this.#frames.delete(key);
      this.#frames.set(key, known);
    }
    this.#misses += missing.length;
    this.#hits += runs.length - missing.length;
    const added = this.add(missing);
    const found = [...frames.keys()].map((key) => this.#frames.get(key) as FrameRows);
    return { rows: this.#rowsOf(runs), frames: found, missing: added };
  }

  /** Allocates rows for frames that are not cached. */
  add(frames: readonly Frame[]): readonly FrameRows[] {
    // None of them is in the map before all have their rows, so none makes room for another.
    const added = frames.map((frame) => ({ frame, rows: this.#take(patchCount(frame)) }));
    for (const entry of added) this.#frames.set(keyOf(entry.frame), entry);
    return added;
  }

  /** Removes a frame whose rows could not be filled. */
  forget({ frame, rows }: FrameRows): void {
    // Compared by its rows: a frame that was evicted and acquired again since stays.
    if (this.#frames.get(keyOf(frame))?.rows === rows) this.#release(keyOf(frame));
  }

  clear(): void {
    for (const key of [...this.#frames.keys()]) this.#release(key);
  }

  counts(): GridRowCounts {
    return {
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
      entries: this.#frames.size,
      usedRows: this.capacity - this.#freeCount,
    };
  }

  /** Sets the counts to 0, after warm-up and measurement. */
  resetCounts(): void {
    this.#hits = 0;
    this.#misses = 0;
    this.#evictions = 0;
  }

  #take(count: number): Int32Array {
    for (const key of this.#frames.keys()) {
      if (this.#freeCount >= count) break;
      this.#release(key);
      this.#evictions += 1;
    }
    this.#freeCount -= count;
    return this.#free.slice(this.#freeCount, this.#freeCount + count);
  }

  #release(key: string): void {
    const { rows } = this.#frames.get(key) as FrameRows;
    this.#free.set(rows, this.#freeCount);
    this.#freeCount += rows.length;
    this.#frames.delete(key);
  }

  /** What is cached of a grid. */
  framesOf(grid: Grid): readonly Frame[] {
    return this.#runsOf(grid).map(({ frame }) => frame);
  }

  #runsOf(grid: Grid): readonly Run[] {
    return partsInRowOrder(grid).flatMap(({ t, h, w }) => {
      const whole = { frame: { t: this.#chunkFrames, h, w }, times: Math.floor(t / this.#chunkFrames) };
      const last = { frame: { t: t % this.#chunkFrames, h, w }, times: 1 };
      return [whole, last].filter(({ frame, times }) => frame.t > 0 && times > 0);
    });
  }

  #rowsOf(runs: readonly Run[]): Int32Array {
    const all = new Int32Array(runs.reduce((sum, { frame, times }) => sum + patchCount(frame) * times, 0));
    let at = 0;
    for (const { frame, times } of runs) {
      const { rows } = this.#frames.get(keyOf(frame)) as FrameRows;
      for (let time = 0; time < times; time++) {
        all.set(rows, at);
        at += rows.length;
      }
    }
    return all;
  }
}

/** A frame, so many times in sequence. */
interface Run {
  readonly frame: Frame;
  readonly times: number;
}

function keyOf({ t, h, w }: Frame): string {
  return `${t}x${h}x${w}`;
}
