/**
 * Opening, decoding, resizing and hashing, a few jobs at a time: the work itself is done on libuv's threads, and this
 * decides whose turn it is. The order is that of the queue behind it: priority, then each caller's share.
 *
 * It bounds memory too: a job's bytes count from its start until the item's answer is there, since prepared pixels wait
 * in memory for their batch. Where the first job has no room, it waits, and no other overtakes it.
 */
import { type Clock, FairLine, onAbort } from "@vitgraph/scheduler";

export interface PreparePoolOptions {
  /** Jobs at a time. */
  readonly concurrency: number;
  /** Bytes held at a time. A job that alone needs more runs when nothing else is held. */
  readonly maxBytes: number;
  /** How much waiting makes up for one step of priority, in milliseconds: as in the queue. */
  readonly agingMs: number;
  readonly clock: Clock;
}

export interface PrepareJob<T> {
  /** Held while the job runs, and the cost that its caller's share is charged with. */
  readonly bytes: number;
  /** Of these, held afterwards until the result is disposed. */
  readonly keptBytes: number;
  /** The signal aborts when nobody waits for the result: a job of several steps stops between them. */
  work(signal: AbortSignal): Promise<T>;
}

export interface PrepareTurn {
  readonly caller: unknown;
  readonly priority: number;
  readonly signal: AbortSignal;
}

/** The result, and the memory that it holds. */
export interface Prepared<T> extends Disposable {
  readonly value: T;
}

export class PreparePool {
  readonly #options: PreparePoolOptions;
  readonly #waiting: FairLine<Waiting>;
  #running = 0;
  #bytes = 0;
  #onIdle: (() => void)[] = [];

  constructor(options: PreparePoolOptions) {
    this.#options = options;
    this.#waiting = new FairLine(options.agingMs);
  }

  /** Jobs that wait or run. */
  get size(): number {
    return this.#waiting.size + this.#running;
  }

  get heldBytes(): number {
    return this.#bytes;
  }

  /**
   * Runs the job in its turn. When the signal aborts, a job that waits is dropped at once; one that runs gives its room
   * back when it ends. Either way the promise rejects with the signal's reason.
   */
  run<T>(job: PrepareJob<T>, { caller, priority, signal }: PrepareTurn): Promise<Prepared<T>> {
    return new Promise<Prepared<T>>((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const entry: Waiting = {
        caller,
        priority,
        // A job without bytes takes its turn too.
        cost: job.bytes + 1,
        bytes: job.bytes,
        start: () => {
          stopWatching();
          this.#work(job, signal).then(resolve, reject);
        },
      };
      const stopWatching = onAbort(signal, () => {
        this.#waiting.delete(entry);
        reject(signal.reason);
        this.#pump();
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

  async #work<T>(job: PrepareJob<T>, signal: AbortSignal): Promise<Prepared<T>> {
    let held = job.bytes;
    const hold = (bytes: number) => {
      this.#bytes += bytes - held;
      held = bytes;
    };
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
      this.#running -= 1;
      this.#pump();
    }
  }

  #pump(): void {
    const { concurrency, maxBytes, clock } = this.#options;
    while (this.#running < concurrency) {
      const now = clock.now();
      const first = this.#waiting.head(now);
      if (first === undefined) break;
      if (this.#bytes > 0 && this.#bytes + first.bytes > maxBytes) return;
      this.#waiting.take(first, now);
      this.#running += 1;
      this.#bytes += first.bytes;
      first.start();
    }
    if (this.size === 0) for (const callback of this.#onIdle.splice(0)) callback();
  }
}

interface Waiting {
  readonly caller: unknown;
  readonly priority: number;
  readonly cost: number;
  readonly bytes: number;
  readonly start: () => void;
}
