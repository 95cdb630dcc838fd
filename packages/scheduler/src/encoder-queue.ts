/**
 * Dynamic batching: items arrive one by one, from many callers, and leave in batches.
 *
 * A batch leaves when it is due: an item has waited for the window, or enough has come to fill a batch. Waiting items
 * stand in one order, by arrival and priority, and **every batch contains the first of that order**; the packing rule
 * only chooses who goes along. So no item waits behind others for ever, whatever its size.
 *
 * The queue knows nothing of images or devices: it is handed a `run` function and calls it, at most so many batches
 * at a time. It does not retry, and it never loses an item: each is answered exactly once.
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
import type { ItemSpec } from "./items.js";
import { packGreedyAscending } from "./pack-greedy.js";

export interface EncoderQueueOptions<Payload, Result> {
  /** What a batch may hold. */
  readonly limits: PackLimits;
  /**
   * Runs a batch and answers for each of its items, in their order. A rejected promise, or a thrown error, fails
   * every item of the batch with that error.
   */
  readonly run: (batch: QueueBatch<Payload>) => Promise<readonly PromiseSettledResult<Result>[]>;
  /** The packing rule; vLLM's greedy one if left out. */
  readonly pack?: Packer;
  /** How long an item waits for company, in milliseconds; 0 if left out: only for what arrives in the same turn. */
  readonly windowMs?: number;
  /** Most batches that run at once; 2 if left out, so that one can be prepared while another computes. */
  readonly maxInFlight?: number;
  /** Most items that wait; 1024 if left out. More are refused with `VG_QUEUE_FULL`. */
  readonly maxQueuedItems?: number;
  /** Most tokens that wait; no limit if left out. More are refused with `VG_QUEUE_FULL`. */
  readonly maxQueuedTokens?: number;
  /** How much waiting outweighs one step of priority, in milliseconds; 1000 if left out. */
  readonly agingMs?: number;
  /** The machine's clock if left out. */
  readonly clock?: Clock;
}

export interface QueueBatch<Payload> extends Omit<Batch, "items"> {
  readonly items: readonly QueuedItem<Payload>[];
  /** Aborts when nobody waits for any item of the batch any more. */
  readonly signal: AbortSignal;
}

export interface QueuedItem<Payload> {
  readonly payload: Payload;
  readonly spec: ItemSpec;
  /** From arrival to the start of the batch. */
  readonly waitedMs: number;
}

export interface SubmitOptions {
  /** Lower goes first, as in vLLM; 0 if left out. An item of priority p stands as if it came p × agingMs later. */
  readonly priority?: number;
  /**
   * The moment from which the answer is of no use, on the queue's clock: `systemClock.now() + 500`. An item that would
   * expire within the window does not wait for company.
   */
  readonly deadline?: number;
  /** Takes the item back, wherever it is. */
  readonly signal?: AbortSignal;
}

export interface QueueEntry<Payload> {
  readonly payload: Payload;
  readonly spec: ItemSpec;
}

/** Items that are packed together when a batch leaves: enough to choose from, few enough to pack in no time. */
const LEAST_POOL_ITEMS = 64;

export class EncoderQueue<Payload, Result> implements AsyncDisposable {
  readonly #run: EncoderQueueOptions<Payload, Result>["run"];
  readonly #limits: PackLimits;
  readonly #pack: Packer;
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #agingMs: number;
  #maxInFlight: number;
  readonly #maxQueuedItems: number;
  readonly #maxQueuedTokens: number;
  readonly #fullBatchTokens: number;

  /** Who waits, in order of departure. */
  readonly #waiting: Entry<Payload, Result>[] = [];
  readonly #running = new Set<Flight<Payload, Result>>();
  readonly #watches = new Map<AbortSignal, Watch<Payload, Result>>();
  #waitingTokens = 0;
  #arrivals = 0;
  #pumpScheduled = false;
  #cancelTimer: (() => void) | undefined;
  #idleCallbacks: (() => void)[] = [];
  #draining = false;
  #closed = false;

  /** Throws `VG_ARGUMENT_INVALID` for options that are not numbers in their range. */
  constructor(options: EncoderQueueOptions<Payload, Result>) {
    checkPackLimits(options.limits);
    this.#run = options.run;
    this.#limits = options.limits;
    this.#pack = options.pack ?? packGreedyAscending;
    this.#clock = options.clock ?? systemClock;
    this.#windowMs = inRange("windowMs", options.windowMs ?? 0, 0);
    this.#agingMs = inRange("agingMs", options.agingMs ?? 1000, 0, Number.MAX_VALUE);
    this.#maxInFlight = inRange("maxInFlight", options.maxInFlight ?? 2, 1);
    this.#maxQueuedItems = inRange("maxQueuedItems", options.maxQueuedItems ?? 1024, 1);
    this.#maxQueuedTokens = inRange(
      "maxQueuedTokens",
      options.maxQueuedTokens ?? Number.POSITIVE_INFINITY,
      1,
    );
    this.#fullBatchTokens = largestBudget(options.limits.tokenBudgets);
  }

  /** Items that wait, those that run not counted. */
  get queuedItems(): number {
    return this.#waiting.length;
  }

  /** Tokens of the items that wait. */
  get queuedTokens(): number {
    return this.#waitingTokens;
  }

  /** Batches that run. */
  get batchesInFlight(): number {
    return this.#running.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Most batches that run at once. May change while the queue works; at 0 it holds what it has, and goes on admitting. */
  get maxInFlight(): number {
    return this.#maxInFlight;
  }

  set maxInFlight(most: number) {
    this.#maxInFlight = inRange("maxInFlight", most, 0);
    this.#schedulePump();
  }

  /**
   * The item's result. Rejects with the item's own error, or with `VG_QUEUE_FULL`, `VG_DEADLINE_EXCEEDED`,
   * `VG_ABORTED` (the signal's reason is the cause), `VG_CLOSED`, or `VG_ITEM_INVALID` and `VG_ARGUMENT_INVALID` for
   * what can never be queued.
   */
  async submit(payload: Payload, spec: ItemSpec, options: SubmitOptions = {}): Promise<Result> {
    this.#admit([{ payload, spec }], options);
    return this.#enqueue({ payload, spec }, options);
  }

  /**
   * Several items that belong together, a request's images: all of them are admitted, or none. They may leave in
   * different batches. One outcome an item, in the order given; rejects only where nothing was admitted.
   */
  async submitAll(
    entries: readonly QueueEntry<Payload>[],
    options: SubmitOptions = {},
  ): Promise<PromiseSettledResult<Result>[]> {
    this.#admit(entries, options);
    return Promise.allSettled(entries.map((entry) => this.#enqueue(entry, options)));
  }

  /** Sends off what waits, window or not; resolves when nothing waits or runs any more. Submitting goes on meanwhile. */
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

  /**
   * Takes no more items and rejects all that it has, waiting or running, with `VG_CLOSED`. Resolves when the running
   * batches, whose signals abort, have ended.
   */
  abort(reason?: unknown): Promise<void> {
    this.#closed = true;
    const error = new VitgraphError("VG_CLOSED", "the queue was closed before the item was done", {
      remedy: "submit it to another queue",
      ...(reason === undefined ? {} : { cause: reason }),
    });
    for (const entry of [...this.#waiting]) this.#reject(entry, error);
    for (const flight of [...this.#running]) for (const entry of flight.entries) this.#reject(entry, error);
    return this.drain();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Throws unless all the entries can be queued now. */
  #admit(entries: readonly QueueEntry<Payload>[], { priority = 0, deadline, signal }: SubmitOptions): void {
    if (!Number.isFinite(priority))
      failArgument("priority", priority, "give a finite number, lower for sooner");
    if (deadline !== undefined && Number.isNaN(deadline)) {
      failArgument("deadline", deadline, "give a moment on the queue's clock, in milliseconds");
    }
    for (const [index, { spec }] of entries.entries()) checkItem(spec, index);
    if (this.#closed) {
      throw new VitgraphError("VG_CLOSED", "the queue is closed", { remedy: "submit to one that is open" });
    }
    if (signal?.aborted) throw abortedError(signal, "before it was queued");
    const now = this.#clock.now();
    if (deadline !== undefined && deadline <= now) {
      throw deadlineError(`had passed ${Math.round(now - deadline)} ms before it came`, { deadline, now });
    }

    const items = entries.length;
    const tokens = entries.reduce((sum, { spec }) => sum + spec.outputTokens, 0);
    const details = {
      items,
      tokens,
      queuedItems: this.queuedItems,
      queuedTokens: this.queuedTokens,
      maxQueuedItems: this.#maxQueuedItems,
      maxQueuedTokens: this.#maxQueuedTokens,
    };
    if (items > this.#maxQueuedItems || tokens > this.#maxQueuedTokens) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `${items} items of ${tokens} tokens are more than the queue ever holds ` +
          `(${this.#maxQueuedItems} items, ${this.#maxQueuedTokens} tokens)`,
        { remedy: "submit fewer at once, or raise maxQueuedItems or maxQueuedTokens", details },
      );
    }
    if (
      this.queuedItems + items > this.#maxQueuedItems ||
      this.queuedTokens + tokens > this.#maxQueuedTokens
    ) {
      throw new VitgraphError(
        "VG_QUEUE_FULL",
        `the queue holds ${this.queuedItems} items of ${this.queuedTokens} tokens and has no room for ${items} more ` +
          `of ${tokens} (it takes ${this.#maxQueuedItems} items, ${this.#maxQueuedTokens} tokens)`,
        { remedy: "try again later, or raise maxQueuedItems or maxQueuedTokens", details },
      );
    }
  }

  #enqueue({ payload, spec }: QueueEntry<Payload>, options: SubmitOptions): Promise<Result> {
    const { priority = 0, deadline, signal } = options;
    const arrivedAt = this.#clock.now();
    const windowEnd = arrivedAt + this.#windowMs;
    return new Promise<Result>((resolve, reject) => {
      const entry: Entry<Payload, Result> = {
        payload,
        spec,
        rank: arrivedAt + priority * this.#agingMs,
        arrival: this.#arrivals++,
        arrivedAt,
        // Waiting out a window that ends after the deadline would only make sure that the item is late.
        dueAt: deadline !== undefined && deadline <= windowEnd ? arrivedAt : windowEnd,
        flight: undefined,
        answer: { resolve, reject },
        forget: () => {},
      };
      const unwatch = signal === undefined ? () => {} : this.#watch(signal, entry);
      const cancelDeadline =
        deadline === undefined || deadline === Number.POSITIVE_INFINITY
          ? () => {}
          : this.#clock.after(deadline - arrivedAt, () => {
              const now = this.#clock.now();
              const waitedMs = now - arrivedAt;
              const event = `passed ${stageOf(entry)}, ${Math.round(waitedMs)} ms after it came`;
              this.#reject(entry, deadlineError(event, { deadline, now, waitedMs }));
            });
      entry.forget = () => {
        unwatch();
        cancelDeadline();
      };
      this.#insert(entry);
      this.#schedulePump();
    });
  }

  /**
   * Takes the entry back when the signal aborts. One listener a signal, since a request with many images has one signal
   * for all of them, and Node warns of a leak from the eleventh listener on.
   */
  #watch(signal: AbortSignal, entry: Entry<Payload, Result>): () => void {
    let watch = this.#watches.get(signal);
    if (watch === undefined) {
      const entries = new Set<Entry<Payload, Result>>();
      const onAbort = (): void => {
        for (const each of [...entries]) this.#reject(each, abortedError(signal, stageOf(each)));
      };
      watch = { entries, onAbort };
      this.#watches.set(signal, watch);
      signal.addEventListener("abort", onAbort);
    }
    const { entries, onAbort } = watch;
    entries.add(entry);
    return () => {
      entries.delete(entry);
      if (entries.size > 0) return;
      signal.removeEventListener("abort", onAbort);
      this.#watches.delete(signal);
    };
  }

  #insert(entry: Entry<Payload, Result>): void {
    // Most arrivals belong at the end.
    let at = this.#waiting.length;
    while (at > 0 && comesBefore(entry, this.#waiting[at - 1]!)) at--;
    this.#waiting.splice(at, 0, entry);
    this.#waitingTokens += entry.spec.outputTokens;
  }

  #remove(entry: Entry<Payload, Result>): void {
    this.#waiting.splice(this.#waiting.indexOf(entry), 1);
    this.#waitingTokens -= entry.spec.outputTokens;
  }

  /** Not at once: what arrives in the same turn of the event loop shall share a batch. */
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
    while (this.#waiting.length > 0 && this.#running.size < this.#maxInFlight) {
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

  /** When the next batch is to leave, if it may run then. */
  #dueAt(): number {
    const isFull =
      this.#waiting.length >= this.#limits.maxItems || this.#waitingTokens >= this.#fullBatchTokens;
    if (isFull || this.#draining) return Number.NEGATIVE_INFINITY;
    return this.#waiting.reduce((least, { dueAt }) => Math.min(least, dueAt), Number.POSITIVE_INFINITY);
  }

  /** Starts the batch that the first in the order is packed into. */
  #startBatch(now: number): void {
    const pool = this.#waiting.slice(0, Math.max(LEAST_POOL_ITEMS, 2 * this.#limits.maxItems));
    let batch: Batch;
    try {
      batch = batchOfFirst(
        this.#pack(
          pool.map(({ spec }) => spec),
          this.#limits,
        ),
        pool.length,
      );
    } catch (error) {
      // A rule that fails on these items would fail on them again.
      for (const entry of pool) this.#reject(entry, error);
      return;
    }
    const entries = batch.items.map((index) => pool[index]!);
    const flight: Flight<Payload, Result> = {
      entries,
      unanswered: entries.length,
      controller: new AbortController(),
    };
    for (const entry of entries) {
      this.#remove(entry);
      entry.flight = flight;
    }
    this.#running.add(flight);
    void this.#fly(flight, {
      ...batch,
      items: entries.map(({ payload, spec, arrivedAt }) => ({ payload, spec, waitedMs: now - arrivedAt })),
      signal: flight.controller.signal,
    });
  }

  /** Runs a batch to its end, and answers whoever still waits for it. Never rejects. */
  async #fly(flight: Flight<Payload, Result>, batch: QueueBatch<Payload>): Promise<void> {
    let answer: (entry: Entry<Payload, Result>, index: number) => void;
    try {
      const outcomes = checkedOutcomes(await this.#run(batch), flight.entries.length);
      answer = (entry, index) => {
        const outcome = outcomes[index]!;
        if (outcome.status === "fulfilled") this.#settle(entry, () => entry.answer.resolve(outcome.value));
        else this.#reject(entry, outcome.reason);
      };
    } catch (error) {
      answer = (entry) => this.#reject(entry, error);
    }
    this.#running.delete(flight);
    flight.entries.forEach(answer);
    this.#pump();
  }

  #reject(entry: Entry<Payload, Result>, error: unknown): void {
    this.#settle(entry, () => entry.answer.reject(error));
  }

  /** Answers the entry, unless it has been answered, and gives up its place. */
  #settle(entry: Entry<Payload, Result>, answer: () => void): void {
    if (entry.flight === "answered") return;
    const flight = entry.flight;
    entry.flight = "answered";
    entry.forget();
    answer();
    if (flight === undefined) {
      this.#remove(entry);
      // It may have been what the timer or a drain waited for.
      this.#schedulePump();
    } else if (--flight.unanswered === 0 && this.#running.has(flight)) {
      flight.controller.abort();
    }
  }

  #isIdle(): boolean {
    return this.#waiting.length === 0 && this.#running.size === 0;
  }
}

interface Entry<Payload, Result> extends QueueEntry<Payload> {
  /** Arrival, put off or brought forward by priority: who is first in the order. */
  readonly rank: number;
  readonly arrival: number;
  readonly arrivedAt: number;
  readonly dueAt: number;
  /** undefined while it waits. */
  flight: Flight<Payload, Result> | "answered" | undefined;
  readonly answer: { resolve(value: Result): void; reject(error: unknown): void };
  /** Lets go of the signal and of the deadline's timer. */
  forget: () => void;
}

/** Who has to be answered when a signal aborts. */
interface Watch<Payload, Result> {
  readonly entries: Set<Entry<Payload, Result>>;
  readonly onAbort: () => void;
}

/** A batch that runs. */
interface Flight<Payload, Result> {
  readonly entries: readonly Entry<Payload, Result>[];
  unanswered: number;
  readonly controller: AbortController;
}

function comesBefore<P, R>(a: Entry<P, R>, b: Entry<P, R>): boolean {
  return a.rank !== b.rank ? a.rank < b.rank : a.arrival < b.arrival;
}

const stageOf = (entry: { flight: unknown }): string =>
  entry.flight === undefined ? "while it waited" : "while it ran";

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

function deadlineError(event: string, details: Readonly<Record<string, number>>): VitgraphError {
  return new VitgraphError("VG_DEADLINE_EXCEEDED", `the item's deadline ${event}`, {
    remedy: "allow more time, or send less work",
    details,
  });
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
