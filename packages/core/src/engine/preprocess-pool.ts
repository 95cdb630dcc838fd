/**
 * Runs preprocessing jobs (opening, decoding, resizing, hashing), a few at a time. The work is done on libuv's threads;
 * the pool decides which job is next, in the order of the queue: priority, then each caller's share.
 *
 * It also bounds memory: a job's bytes count from its start until its item is answered, since pixels wait in memory for
 * their batch. If there is no room for the first job, it waits, and no other job overtakes it.
 *
 * The exception is the lane for small jobs, with its own slots and memory limit: a small image never waits for decoding
 * that takes seconds. Any caller may use its first slot. The others are for callers without a running job, so that a
 * single image does not wait behind a flood.
 */
import { type Clock, FairLine, onAbort } from "@vitgraph/scheduler";

export interface PreprocessPoolOptions {
  /** Jobs at a time. */
  readonly concurrency: number;
  /** Bytes held at a time. A job that alone needs more runs when nothing else is held. */
  readonly maxBytes: number;
  /** Waiting time that compensates for one step of priority, in milliseconds, as in the queue. */
  readonly agingMs: number;
  readonly clock: Clock;
}

export interface PreprocessJob<T> {
  /** Bytes held while the job runs. Also the cost charged to its caller's share. */
  readonly bytes: number;
  /** The part of `bytes` that is held until the result is disposed. */
  readonly keptBytes: number;
  /** Whether it takes at most about ten milliseconds, so that it may run in the lane for small jobs. */
  readonly isSmall: boolean;
  /** The signal aborts when no caller waits for the result. A job with several steps should stop between them. */
  work(signal: AbortSignal): Promise<T>;
}

export interface Turn {
  readonly caller: unknown;
  readonly priority: number;
  readonly signal: AbortSignal;
}

/** The result, and the memory that it holds. */
export interface Preprocessed<T> extends Disposable {
  readonly value: T;
}

/** Memory of the lane: some dozens of small images that wait for their batch. In addition to `maxBytes`. */
const LANE_BYTES = 64 << 20;
/** With one job outside the lane, equals libuv's default number of threads. */
const LANE_SLOTS = 3;

/** Running jobs, and bytes held by them and by their results. */
interface Usage {
  running: number;
  bytes: number;
}

export class PreprocessPool {
  readonly #options: PreprocessPoolOptions;
  readonly #waiting: FairLine<Waiting>;
  readonly #main: Usage = { running: 0, bytes: 0 };
  readonly #lane: Usage = { running: 0, bytes: 0 };
  /** Running jobs of each caller that has any. */
  readonly #runningOf = new Map<unknown, number>();
  #onIdle: (() => void)[] = [];

  constructor(options: PreprocessPoolOptions) {
    this.#options = options;
    this.#waiting = new FairLine(options.agingMs);
  }

  /** Number of waiting and running jobs. */
  get size(): number {
    return this.#waiting.size + this.#main.running + this.#lane.running;
  }

  get heldBytes(): number {
    return this.#main.bytes + this.#lane.bytes;
  }

  /**
   * Runs the job in its turn. When the signal aborts, a waiting job is dropped at once; a running job releases its room
   * when it ends. In both cases the promise rejects with the signal's reason.
   */
  run<T>(job: PreprocessJob<T>, { caller, priority, signal }: Turn): Promise<Preprocessed<T>> {
    return new Promise<Preprocessed<T>>((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const entry: Waiting = {
        caller,
        priority,
        // + 1, so that jobs without bytes are charged to their caller, too.
        cost: job.bytes + 1,
        bytes: job.bytes,
        isSmall: job.isSmall,
        start: (usage) => {
          stopWatching();
          this.#work(job, usage, { caller, signal }).then(resolve, reject);
        },
      };
      const stopWatching = onAbort(signal, () => {
        this.#waiting.delete(entry);
        reject(signal.reason);
        // Deferred until the signal has removed all jobs of the call; otherwise the next of them would start now.
        queueMicrotask(() => this.#pump());
      });
      this.#waiting.add(entry, this.#options.clock.now());
      this.#pump();
    });
  }

  /** Resolves when nothing waits or runs. */
  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async #work<T>(
    job: PreprocessJob<T>,
    usage: Usage,
    { caller, signal }: Pick<Turn, "caller" | "signal">,
  ): Promise<Preprocessed<T>> {
    let held = 0;
    const hold = (bytes: number) => {
      usage.bytes += bytes - held;
      held = bytes;
    };
    const countRunning = (change: 1 | -1) => {
      usage.running += change;
      const running = (this.#runningOf.get(caller) ?? 0) + change;
      if (running === 0) this.#runningOf.delete(caller);
      else this.#runningOf.set(caller, running);
    };
    countRunning(1);
    hold(job.bytes);
    try {
      const value = await job.work(signal);
      signal.throwIfAborted();
      hold(job.keptBytes);
      return {
        value,
        [Symbol.dispose]: () => {
          hold(0);
          this.#pump();
        },
      };
    } catch (error) {
      hold(0);
      throw error;
    } finally {
      countRunning(-1);
      this.#pump();
    }
  }

  #pump(): void {
    for (;;) {
      const now = this.#options.clock.now();
      const first = this.#waiting.head(now);
      if (first === undefined) break;
      if (this.#hasRoom(first)) {
        this.#start(first, this.#main, now);
        continue;
      }
      const small = this.#waiting.head(now, (entry) => this.#fitsLane(entry));
      if (small === undefined) return;
      this.#start(small, this.#lane, now);
    }
    if (this.size === 0) for (const callback of this.#onIdle.splice(0)) callback();
  }

  #hasRoom({ bytes }: Waiting): boolean {
    const { concurrency, maxBytes } = this.#options;
    const { running, bytes: held } = this.#main;
    return running < concurrency && (held === 0 || held + bytes <= maxBytes);
  }

  #fitsLane({ caller, isSmall, bytes }: Waiting): boolean {
    const { running, bytes: held } = this.#lane;
    if (!isSmall || held + bytes > LANE_BYTES) return false;
    return running === 0 || (running < LANE_SLOTS && !this.#runningOf.has(caller));
  }

  #start(entry: Waiting, usage: Usage, now: number): void {
    this.#waiting.take(entry, now);
    entry.start(usage);
  }
}

interface Waiting {
  readonly caller: unknown;
  readonly priority: number;
  readonly cost: number;
  readonly bytes: number;
  readonly isSmall: boolean;
  readonly start: (usage: Usage) => void;
}
