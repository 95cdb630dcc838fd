/**
 * Continuous batching over a fixed number of slots, each with its own KV cache: chooses the tokens of the next batch. It
 * decodes nothing. The caller decodes the step of {@link Scheduler.schedule}, reports it with {@link Scheduler.advance},
 * and appends the tokens that it samples.
 *
 * A batch holds tokens or rows of images, never both, since a llama.cpp batch has only one of the two. If both wait, they
 * take turns.
 */
import { FairLine } from "@vitgraph/scheduler";
import { cellsOf, type MediaUnit, sameUnit, spanOf, sum, type Unit } from "./units.js";

export interface SchedulerOptions {
  /** Sequences that are decoded together. */
  readonly slots: number;
  /** Tokens or rows in a batch. */
  readonly batchTokens: number;
  /** True if an image's rows attend to each other both ways, so that they must be in one batch. */
  readonly wholeMedia: boolean;
}

export class Sequence {
  /** The prompt, and then each token that was sampled. */
  readonly units: Unit[];
  slot: number | null = null;
  /** Units in the cache. */
  cached = 0;
  /** Rows in the cache of the image at `cached`. */
  rows = 0;
  /** Position of the unit at `cached`. */
  position = 0;
  /** Units that were in the slot's cache when the sequence got it. */
  reused = 0;
  /** The caller that the sequence counts for when slots are shared. */
  readonly caller: unknown = this;
  readonly priority = 0;

  constructor(prompt: readonly Unit[]) {
    this.units = [...prompt];
  }

  /** KV cache cells that count for its caller. */
  get cost(): number {
    return sum(this.units, cellsOf);
  }
}

/** Units `from … from + count`, or rows of the unit at `from`. */
export interface Chunk<S extends Sequence> {
  readonly sequence: S;
  readonly count: number;
  /** True if its last token's logits are needed. */
  readonly output: boolean;
}

export interface Step<S extends Sequence> {
  readonly kind: "tokens" | "rows";
  readonly chunks: readonly Chunk<S>[];
}

interface Slot {
  sequence: Sequence | null;
  /** Units in its cache, which the next sequence may reuse. */
  cached: readonly Unit[];
  /** Step count when it was last freed: the slot unused for longest is taken first. */
  usedAt: number;
}

export class Scheduler<S extends Sequence> {
  readonly running: S[] = [];
  readonly #waiting = new FairLine<S>(1);
  readonly #slots: readonly Slot[];
  readonly #options: SchedulerOptions;
  #lastKind: Step<S>["kind"] = "rows";
  #clock = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.slots }, () => ({ sequence: null, cached: [], usedAt: 0 }));
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(sequence: S): void {
    this.#waiting.add(sequence, NO_AGING);
  }

  /** Gives free slots to waiting sequences, to each caller its share. Returns them; each slot's cache must then be cut at their `position`. */
  admit(): readonly S[] {
    const admitted: S[] = [];
    while (this.running.length < this.#options.slots) {
      const sequence = this.#waiting.head(NO_AGING);
      if (sequence === undefined) break;
      this.#waiting.take(sequence, NO_AGING);
      const { slot, prefix } = this.#bestSlot(sequence.units);
      const held = this.#slots[slot] as Slot;
      held.sequence = sequence;
      held.cached = [];
      sequence.slot = slot;
      this.reuse(sequence, prefix);
      this.running.push(sequence);
      admitted.push(sequence);
    }
    return admitted;
  }

  /** Sets the number of units in the sequence's cache. */
  reuse(sequence: S, units: number): void {
    sequence.cached = units;
    sequence.reused = units;
    sequence.rows = 0;
    sequence.position = sum(sequence.units.slice(0, units), spanOf);
  }

  /** The next batch; null if nothing can be decoded. */
  schedule(): Step<S> | null {
    const kinds = this.#lastKind === "tokens" ? (["rows", "tokens"] as const) : (["tokens", "rows"] as const);
    for (const kind of kinds) {
      const chunks = kind === "tokens" ? this.#tokenChunks() : this.#rowChunks();
      if (chunks.length === 0) continue;
      this.#lastKind = kind;
      return { kind, chunks };
    }
    return null;
  }

  /** Records that the step was decoded. */
  advance({ kind, chunks }: Step<S>): void {
    this.#clock++;
    for (const { sequence, count } of chunks) {
      if (kind === "tokens") {
        sequence.cached += count;
        sequence.position += count;
        continue;
      }
      const unit = sequence.units[sequence.cached] as MediaUnit;
      sequence.rows += count;
      if (sequence.rows < unit.count) continue;
      // The rows are in the KV cache now; they can take a hundred megabytes.
      sequence.units[sequence.cached] = { ...unit, rows: NO_ROWS };
      sequence.cached++;
      sequence.rows = 0;
      sequence.position += unit.span;
    }
  }

  /** Removes a waiting or running sequence. Its slot's cache stays for the next sequence. */
  remove(sequence: S): void {
    this.#waiting.delete(sequence);
    drop(this.running, sequence);
    if (sequence.slot === null) return;
    const slot = this.#slots[sequence.slot] as Slot;
    slot.sequence = null;
    slot.cached = sequence.units.slice(0, sequence.cached);
    slot.usedAt = this.#clock;
    sequence.slot = null;
  }

  /** One token of each generating sequence, and then as much of the prompts as fits. */
  #tokenChunks(): Chunk<S>[] {
    const chunks: Chunk<S>[] = [];
    let room = this.#options.batchTokens;
    const pending = (sequence: S) => sequence.units.length - sequence.cached;
    for (const sequence of [...this.running].sort(
      (a, b) => Number(pending(a) > 1) - Number(pending(b) > 1),
    )) {
      const { units, cached } = sequence;
      let count = 0;
      while (count < room && typeof units[cached + count] === "number") count++;
      if (count === 0) continue;
      room -= count;
      chunks.push({ sequence, count, output: cached + count === units.length });
    }
    return chunks;
  }

  #rowChunks(): Chunk<S>[] {
    const chunks: Chunk<S>[] = [];
    let room = this.#options.batchTokens;
    for (const sequence of this.running) {
      const unit = sequence.units[sequence.cached];
      if (typeof unit !== "object") continue;
      const left = unit.count - sequence.rows;
      const count = this.#options.wholeMedia && left > room ? 0 : Math.min(left, room);
      if (count === 0) continue;
      room -= count;
      const isLast = sequence.cached + 1 === sequence.units.length && count === left;
      chunks.push({ sequence, count, output: isLast });
    }
    return chunks;
  }

  /** The free slot with the longest common prefix, without the last unit: its logits are needed. */
  #bestSlot(units: readonly Unit[]): { readonly slot: number; readonly prefix: number } {
    let best = { slot: -1, prefix: -1 };
    for (const [index, { sequence, cached, usedAt }] of this.#slots.entries()) {
      if (sequence !== null) continue;
      let prefix = 0;
      while (prefix < units.length - 1 && sameUnit(units[prefix], cached[prefix])) prefix++;
      const isOlder = prefix === best.prefix && usedAt < (this.#slots[best.slot] as Slot).usedAt;
      if (prefix > best.prefix || isOlder) best = { slot: index, prefix };
    }
    return best;
  }
}

/** All sequences have the same priority, so there is no aging. */
const NO_AGING = 0;

const NO_ROWS = new Float32Array();

function drop<T>(list: T[], value: T): void {
  const index = list.indexOf(value);
  if (index >= 0) list.splice(index, 1);
}
