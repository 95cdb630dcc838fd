/**
 * Dynamic batching: items arrive one by one, from many callers, and leave in batches.
 *
 * A batch is due when an item has waited for the window, or when enough items wait to fill one. Waiting items stand in
 * one order ({@link FairLine}: priority, then each caller's share), and **every batch contains the first of that
 * order**; the packing rule only chooses its companions. So no item waits behind others for ever, whatever its size.
 *
 * The queue knows neither images nor devices: it calls `run`, for at most `maxInFlight` batches at a time. It does not
 * retry and never loses an item: each is answered exactly once. How much may wait, and for how long, is decided by the
 * code in front of it.
 */
import { VitgraphError } from "@vitgraph/errors";
import {
  type Batch,
  checkItem,
  checkPackLimits,
  largestBudget,
  type Packer,
  type PackLimits,
} from "./batch.js";
import { type Clock, systemClock } from "./clock.js";
import { FairLine } from "./fair-line.js";
import type { ItemSpec } from "./items.js";
import { onAbort } from "./on-abort.js";
import { packGreedyAscending } from "./pack-greedy.js";

export interface EncoderQueueOptions<Payload, Result> {
  /** The limits of one batch. */
  readonly limits: PackLimits;
  /**
   * Runs a batch and answers for each of its items, in their order. A rejected promise, or a thrown error, fails
   * every item of the batch with that error.
   */
  readonly run: (batch: QueueBatch<Payload>) => Promise<readonly PromiseSettledResult<Result>[]>;
  /** The packing rule. Default: vLLM's greedy one. */
  readonly pack?: Packer;
  /** How long an item waits for others, in milliseconds. Default: 0, only for arrivals of the same turn. */
  readonly windowMs?: number;
  /** Most batches that run at once. Default: 2, so that one can be prepared while another computes. */
  readonly maxInFlight?: number;
  /** How much waiting makes up for one step of priority, in milliseconds. Default: 1000. */
  readonly agingMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

export interface QueueBatch<Payload> extends Omit<Batch, "items"> {
  readonly items: readonly QueuedItem<Payload>[];
}

export interface QueuedItem<Payload> {
  readonly payload: Payload;
  readonly spec: ItemSpec;
  /** From arrival to the start of the batch. */
  readonly waitedMs: number;
}

export interface SubmitOptions {
  /** Lower goes first, as in vLLM. Default: 0. */
  readonly priority?: number;
  /** Whose share of the queue the item takes; compared like a key of a Map. Default: a caller of its own. */
  readonly caller?: unknown;
  /** In the place of the queue's window: 0 for an item that has no time to wait for others. */
  readonly windowMs?: number;
  /** Takes the item back, waiting or running. */
  readonly signal?: AbortSignal;
}

/** Items that are packed together for a batch: enough to choose from, few enough to pack in a millisecond or two. */
const LEAST_POOL_ITEMS = 64;

export class EncoderQueue<Payload, Result> implements AsyncDisposable {
  readonly #run: EncoderQueueOptions<Payload, Result>["run"];
  readonly #limits: PackLimits;
  readonly #pack: Packer;
  readonly #clock: Clock;
  readonly #windowMs: number;
  #maxInFlight: number;
  readonly #fullBatchTokens: number;
  readonly #waiting: FairLine<Entry<Payload, Result>>;
  #waitingTokens = 0;
  #batchesInFlight = 0;
  #pumpScheduled = false;
  #cancelTimer: (() => void) | undefined;
  #idleCallbacks: (() => void)[] = [];
  #draining = false;
  #closed = false;

  /** @throws VG_ARGUMENT_INVALID for a number out of its range */
  constructor(options: EncoderQueueOptions<Payload, Result>) {
    checkPackLimits(options.limits);
    this.#run = options.run;
    this.#limits = options.limits;
    this.#pack = options.pack ?? packGreedyAscending;
    this.#clock = options.clock ?? systemClock;
    this.#windowMs = inRange("windowMs", options.windowMs ?? 0, 0);
    this.#maxInFlight = inRange("maxInFlight", options.maxInFlight ?? 2, 1);
    this.#waiting = new FairLine(inRange("agingMs", options.agingMs ?? 1000, 1, Number.MAX_VALUE));
    this.#fullBatchTokens = largestBudget(options.limits.tokenBudgets);
  }

  /** Items that wait; those that run are not counted. */
  get queuedItems(): number {
    return this.#waiting.size;
  }

  /** Tokens of the items that wait. */
  get queuedTokens(): number {
    return this.#waitingTokens;
  }

  get batchesInFlight(): number {
    return this.#batchesInFlight;
  }

  /** Most batches that run at once. May be changed at any time; at 0 the queue starts none and still takes items. */
  get maxInFlight(): number {
    return this.#maxInFlight;
  }

  set maxInFlight(most: number) {
    this.#maxInFlight = inRange("maxInFlight", most, 0);
    this.#schedulePump();
  }

  /**
   * The item's result. Rejects with the item's own error, or with VG_ABORTED (the signal's reason is the cause),
   * VG_CLOSED, VG_ITEM_INVALID or VG_ARGUMENT_INVALID.
   */
  async submit(payload: Payload, spec: ItemSpec, options: SubmitOptions = {}): Promise<Result> {
    const { priority = 0, signal, caller = Symbol("caller"), windowMs = this.#windowMs } = options;
    if (!Number.isFinite(priority))
      failArgument("priority", priority, "give a finite number, lower for sooner");
    inRange("windowMs", windowMs, 0);
    checkItem(spec, 0);
    if (this.#closed) {
      throw new VitgraphError("VG_CLOSED", "the queue is closed", { remedy: "submit to one that is open" });
    }
    if (signal?.aborted) throw abortedError(signal, "before it was queued");
    return new Promise<Result>((resolve, reject) => {
      const now = this.#clock.now();
      const entry: Entry<Payload, Result> = {
        payload,
        spec,
        caller,
        priority,
        cost: spec.outputTokens,
        arrivedAt: now,
        dueAt: now + windowMs,
        state: "waits",
        answer: { resolve, reject },
        stopWatching: () => {},
      };
      if (signal !== undefined) {
        entry.stopWatching = onAbort(signal, () => {
          this.#reject(
            entry,
            abortedError(signal, entry.state === "waits" ? "while it waited" : "while it ran"),
          );
        });
      }
      this.#waiting.add(entry, now);
      this.#waitingTokens += entry.cost;
      this.#schedulePump();
    });
  }

  /** Starts batches without waiting for windows; resolves when nothing waits or runs. Items are still taken. */
  drain(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    this.#draining = true;
    this.#schedulePump();
    return new Promise((resolve) => this.#idleCallbacks.push(resolve));
  }

  /** Takes no more items, finishes those that it has, and resolves when that is done. */
  close(): Promise<void> {
    this.#closed = true;
    return this.drain();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
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

  /** Starts every batch that is due and has room to run, and sets the timer for the next. */
  #pump(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const now = this.#clock.now();
    while (this.#waiting.size > 0 && this.#batchesInFlight < this.#maxInFlight) {
      const dueAt = this.#dueAt();
      if (dueAt > now) {
        this.#cancelTimer = this.#clock.after(dueAt - now, () => this.#pump());
        break;
      }
      this.#startBatch(now);
    }
    if (this.#isIdle()) {
      this.#draining = false;
      for (const callback of this.#idleCallbacks.splice(0)) callback();
    }
  }

  /** When the next batch is due. */
  #dueAt(): number {
    const isFull =
      this.#waiting.size >= this.#limits.maxItems || this.#waitingTokens >= this.#fullBatchTokens;
    if (isFull || this.#draining) return Number.NEGATIVE_INFINITY;
    let least = Number.POSITIVE_INFINITY;
    for (const { dueAt } of this.#waiting.entries()) least = Math.min(least, dueAt);
    return least;
  }

  /** Starts the batch that the first in the order is packed into. */
  #startBatch(now: number): void {
    const pool = this.#waiting.first(Math.max(LEAST_POOL_ITEMS, 2 * this.#limits.maxItems), now);
    let batch: Batch;
    try {
      const specs = pool.map(({ spec }) => spec);
      batch = batchOfFirst(this.#pack(specs, this.#limits), pool.length);
    } catch (error) {
      // A rule that fails on these items would fail on them again.
      for (const entry of pool) this.#reject(entry, error);
      return;
    }
    const entries = batch.items.map((index) => pool[index]!);
    for (const entry of entries) {
      this.#waiting.take(entry, now);
      this.#waitingTokens -= entry.cost;
      entry.state = "runs";
    }
    this.#batchesInFlight += 1;
    const items = entries.map(({ payload, spec, arrivedAt }) => ({
      payload,
      spec,
      waitedMs: now - arrivedAt,
    }));
    void this.#runBatch(entries, { ...batch, items });
  }

  /** Runs a batch to its end and answers its items. Never rejects. */
  async #runBatch(entries: readonly Entry<Payload, Result>[], batch: QueueBatch<Payload>): Promise<void> {
    let answer: (entry: Entry<Payload, Result>, index: number) => void;
    try {
      const outcomes = checkedOutcomes(await this.#run(batch), entries.length);
      answer = (entry, index) => {
        const outcome = outcomes[index]!;
        if (outcome.status === "fulfilled") this.#settle(entry, () => entry.answer.resolve(outcome.value));
        else this.#reject(entry, outcome.reason);
      };
    } catch (error) {
      answer = (entry) => this.#reject(entry, error);
    }
    this.#batchesInFlight -= 1;
    entries.forEach(answer);
    this.#pump();
  }

  #reject(entry: Entry<Payload, Result>, error: unknown): void {
    this.#settle(entry, () => entry.answer.reject(error));
  }

  /** Answers the entry, unless it has been answered, and gives up its place. */
  #settle(entry: Entry<Payload, Result>, answer: () => void): void {
    const { state } = entry;
    if (state === "answered") return;
    entry.state = "answered";
    entry.stopWatching();
    answer();
    if (state === "runs") return;
    this.#waiting.delete(entry);
    this.#waitingTokens -= entry.cost;
    // The timer or a drain may have waited for it.
    this.#schedulePump();
  }

  #isIdle(): boolean {
    return this.#waiting.size === 0 && this.#batchesInFlight === 0;
  }
}

interface Entry<Payload, Result> {
  readonly payload: Payload;
  readonly spec: ItemSpec;
  readonly caller: unknown;
  readonly priority: number;
  /** Its tokens. */
  readonly cost: number;
  readonly arrivedAt: number;
  readonly dueAt: number;
  state: "waits" | "runs" | "answered";
  readonly answer: { resolve(value: Result): void; reject(error: unknown): void };
  stopWatching: () => void;
}

/** The batch that holds the first item of the pool. */
function batchOfFirst(batches: readonly Batch[], poolSize: number): Batch {
  const batch = batches.find(({ items }) => items.includes(0));
  const isSound =
    batch !== undefined &&
    new Set(batch.items).size === batch.items.length &&
    batch.items.every((index) => Number.isInteger(index) && index >= 0 && index < poolSize);
  if (isSound) return batch;
  throw new VitgraphError("VG_INTERNAL", "the packing rule did not place the first item in a batch", {
    remedy: "return batches that hold every item once",
  });
}

function checkedOutcomes<R>(
  outcomes: readonly PromiseSettledResult<R>[],
  count: number,
): readonly PromiseSettledResult<R>[] {
  const isSound =
    Array.isArray(outcomes) &&
    outcomes.length === count &&
    outcomes.every((outcome) => outcome?.status === "fulfilled" || outcome?.status === "rejected");
  if (isSound) return outcomes;
  throw new VitgraphError("VG_INTERNAL", `the run function did not answer for each of ${count} items`, {
    remedy: "return one settled result an item",
    details: { count, answered: Array.isArray(outcomes) ? outcomes.length : null },
  });
}

function abortedError(signal: AbortSignal, stage: string): VitgraphError {
  return new VitgraphError("VG_ABORTED", `the item was cancelled ${stage}`, { cause: signal.reason });
}

function inRange(name: string, value: number, least: number, most = Number.POSITIVE_INFINITY): number {
  if (value >= least && value <= most) return value;
  return failArgument(name, value, `give a number of at least ${least}`);
}

function failArgument(name: string, value: number, remedy: string): never {
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} ${value} is out of range`, {
    remedy,
    details: { name, value },
  });
}
