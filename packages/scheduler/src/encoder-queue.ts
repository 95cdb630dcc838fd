/**
 * Continuous batching: one ordered queue of all callers' items, dispatched in batches.
 *
 * A batch is due when an item's window has passed, or when the waiting items fill a batch, but not while all devices are
 * busy: waiting for more items then costs nothing. **Every batch contains the first item of the order**
 * ({@link FairLine}: priority, then each caller's share); the packing rule only chooses the others. So no item starves,
 * regardless of its size.
 *
 * The engine that owns the queue limits how many items wait and for how long, and checks the options. The queue settles
 * each item exactly once and never retries.
 */
import { VitgraphError } from "@vitgraph/errors";
import { type Batch, largestBudget, type PackLimits } from "./batch.js";
import type { Clock } from "./clock.js";
import { FairLine, type LineEntry } from "./fair-line.js";
import { budgetTokensOf, type Packable } from "./items.js";
import { onAbort } from "./on-abort.js";

/** A packing rule with its limits. */
export type PackItems = <T extends Packable>(items: readonly T[]) => readonly Batch<T>[];

/** Options of an {@link EncoderQueue}. */
export interface EncoderQueueOptions<T extends Packable, Result> {
  /** The limits of one batch: a full batch does not wait for a window. */
  readonly limits: PackLimits;
  readonly pack: PackItems;
  /** Runs a batch. Resolves with one outcome for each item, in their order; a rejection fails every item. */
  readonly run: (batch: Batch<QueuedItem<T>>) => Promise<readonly PromiseSettledResult<Result>[]>;
  /**
   * How many milliseconds a batch of the waiting tokens can wait for more items, because all devices are busy. Called
   * again when an item arrives or a batch ends. If it throws, the batch does not wait. Default: 0.
   */
  readonly slackMs?: (tokens: number) => number;
  /** Most batches that run at once; {@link EncoderQueue.maxInFlight} changes it. */
  readonly maxInFlight: number;
  /** Waiting time, in milliseconds, that raises priority by one step. */
  readonly agingMs: number;
  readonly clock: Clock;
}

export interface QueuedItem<T> extends Packable {
  readonly item: T;
  /** In the time of the queue's clock. */
  readonly arrivedAt: number;
}

/** Options of one item. */
export interface SubmitOptions {
  /** Lower goes first, as in vLLM. */
  readonly priority: number;
  /** The caller charged for the item; compared like a key of a Map. */
  readonly caller: unknown;
  /** Milliseconds that the item waits for others to share its batch; 0: only for arrivals in the same turn of the event loop. */
  readonly windowMs: number;
  /** Removes the item while it waits. A running item ends when `run` settles. */
  readonly signal: AbortSignal;
}

/** Items that are packed together: enough to choose from, few enough to pack in a millisecond or two. */
const PACKED_ITEMS = { least: 64, most: 128 };

interface Entry<T, Result> extends QueuedItem<T>, LineEntry {
  readonly dueAt: number;
  /** Called when the item runs: its signal is no longer watched. */
  readonly started: () => void;
  readonly settle: (outcome: PromiseSettledResult<Result>) => void;
}

/** A queue for continuous batching: the items of all callers share batches, and each has its own result. */
export class EncoderQueue<T extends Packable, Result> {
  readonly #options: EncoderQueueOptions<T, Result>;
  readonly #waiting: FairLine<Entry<T, Result>>;
  #maxInFlight: number;
  #batchesInFlight = 0;
  #pumpScheduled = false;
  #cancelTimer: () => void = () => {};
  #drains: (() => void)[] = [];

  constructor(options: EncoderQueueOptions<T, Result>) {
    this.#options = options;
    this.#waiting = new FairLine(options.agingMs);
    this.#maxInFlight = options.maxInFlight;
  }

  /** Waiting items. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Batches that run. */
  get batchesInFlight(): number {
    return this.#batchesInFlight;
  }

  /** At 0 the queue starts no batch, and still accepts items. */
  set maxInFlight(most: number) {
    this.#maxInFlight = most;
    this.#schedulePump();
  }

  /** The item's result. Rejects with the item's error, the batch's, or the signal's reason. */
  submit(item: T, { priority, caller, windowMs, signal }: SubmitOptions): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const arrivedAt = this.#options.clock.now();
      const { spec } = item;
      const entry: Entry<T, Result> = {
        item,
        spec,
        caller,
        priority,
        cost: budgetTokensOf(spec),
        arrivedAt,
        dueAt: arrivedAt + windowMs,
        started: onAbort(signal, () => {
          this.#waiting.delete(entry);
          reject(signal.reason);
          this.#schedulePump();
        }),
        settle: (outcome) =>
          outcome.status === "fulfilled" ? resolve(outcome.value) : reject(outcome.reason),
      };
      this.#waiting.add(entry, arrivedAt);
      this.#schedulePump();
    });
  }

  /** Starts batches without waiting for windows; resolves when nothing waits or runs. Items are still accepted. */
  drain(): Promise<void> {
    this.#schedulePump();
    return new Promise((resolve) => this.#drains.push(resolve));
  }

  /** In a microtask: items that arrive in the same turn of the event loop share a batch. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  /** Starts every batch that is due and has a slot, and sets the timer for the next. */
  #pump(): void {
    this.#cancelTimer();
    const { clock } = this.#options;
    const now = clock.now();
    while (this.#waiting.size > 0 && this.#batchesInFlight < this.#maxInFlight) {
      const dueAt = this.#dueAt(now);
      if (dueAt > now) {
        this.#cancelTimer = clock.after(dueAt - now, () => this.#pump());
        break;
      }
      void this.#runNext(now);
    }
    if (this.#waiting.size > 0 || this.#batchesInFlight > 0) return;
    for (const resolve of this.#drains.splice(0)) resolve();
  }

  /** When the next batch is due. */
  #dueAt(now: number): number {
    const { maxItems, tokenBudgets } = this.#options.limits;
    let earliest = Number.POSITIVE_INFINITY;
    let tokens = 0;
    for (const { dueAt, cost } of this.#waiting.entries()) {
      earliest = Math.min(earliest, dueAt);
      tokens += cost;
    }
    const isFull = this.#waiting.size >= maxItems || tokens >= largestBudget(tokenBudgets);
    const windowEnds = isFull || this.#drains.length > 0 ? now : earliest;
    return Math.max(windowEnds, now + this.#slackMs(tokens));
  }

  #slackMs(tokens: number): number {
    try {
      return this.#options.slackMs?.(tokens) ?? 0;
    } catch {
      // It asks for the same costs as packing does, whose error then fails the batch.
      return 0;
    }
  }

  /** Runs the batch of the first item in the order. Never rejects. */
  async #runNext(now: number): Promise<void> {
    const { limits, pack, run } = this.#options;
    const count = Math.min(PACKED_ITEMS.most, Math.max(PACKED_ITEMS.least, 2 * limits.maxItems));
    const candidates = this.#waiting.first(count, now);
    let items: readonly Entry<T, Result>[] = candidates;
    let outcomes: readonly PromiseSettledResult<Result>[];
    this.#batchesInFlight += 1;
    try {
      const batch = batchOf(candidates[0]!, () => pack(candidates));
      items = batch.items;
      this.#start(items, now);
      outcomes = await run(batch);
    } catch (reason) {
      // A retry would fail again: packing sees the same items.
      this.#start(items, now);
      outcomes = items.map(() => ({ status: "rejected", reason }));
    }
    this.#batchesInFlight -= 1;
    for (const [index, { settle }] of items.entries()) settle(outcomes[index]!);
    this.#schedulePump();
  }

  #start(entries: readonly Entry<T, Result>[], now: number): void {
    for (const entry of entries) {
      this.#waiting.take(entry, now);
      entry.started();
    }
  }
}

function batchOf<T>(first: T, pack: () => readonly Batch<T>[]): Batch<T> {
  const batch = pack().find(({ items }) => items.includes(first));
  if (batch !== undefined) return batch;
  throw new VitgraphError("VG_INTERNAL", "the packing rule left the first item out", {
    remedy: "return batches that hold every item once",
  });
}
