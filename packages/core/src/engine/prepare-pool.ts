/**
 * Decoding, resizing and hashing, a few at a time: the work itself is done on libuv's threads, and this decides whose
 * turn it is. In order of priority and arrival, as the queue behind it.
 *
 * It bounds memory too: pixels count from the start of the work until the item's answer is there, since prepared pixels
 * wait in memory for their batch. Where there is no room, what is first waits, and nothing overtakes it.
 */
import type { Clock } from "@vitgraph/scheduler";

export interface PreparePoolOptions {
  /** Works at a time. */
  readonly concurrency: number;
  /** Pixels held at a time. One item that is larger than that alone goes through when nothing else is held. */
  readonly maxPixels: number;
  /** How much waiting outweighs one step of priority, in milliseconds: as in the queue. */
  readonly agingMs: number;
  readonly clock: Clock;
}

export interface PrepareJob<T> {
  /** Held while the work runs. */
  readonly pixels: number;
  /** Of these, held after it until the result is disposed. */
  readonly keptPixels: number;
  work(): Promise<T>;
}

/** The result, and the room that it takes. */
export interface Prepared<T> extends Disposable {
  readonly value: T;
}

export class PreparePool {
  readonly #options: PreparePoolOptions;
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #pixels = 0;
  #arrivals = 0;
  #onIdle: (() => void)[] = [];

  constructor(options: PreparePoolOptions) {
    this.#options = options;
  }

  /** Works that wait or run. */
  get size(): number {
    return this.#waiting.length + this.#running;
  }

  get heldPixels(): number {
    return this.#pixels;
  }

  /**
   * Runs the work in its turn. When the signal aborts, what waits leaves at once; what runs can't be interrupted, and
   * gives its room back when it ends. Either way the promise rejects with the signal's reason.
   */
  run<T>(
    job: PrepareJob<T>,
    { priority, signal }: { readonly priority: number; readonly signal: AbortSignal },
  ): Promise<Prepared<T>> {
    return new Promise<Prepared<T>>((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const { clock, agingMs } = this.#options;
      const entry: Waiting = {
        rank: clock.now() + priority * agingMs,
        arrival: this.#arrivals++,
        pixels: job.pixels,
        start: () => {
          signal.removeEventListener("abort", leave);
          this.#work(job, signal).then(resolve, reject);
        },
      };
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        reject(signal.reason);
        this.#pump();
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#insert(entry);
      this.#pump();
    });
  }

  /** Resolves when nothing waits or runs: works that were cancelled read their callers' bytes until they end. */
  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async #work<T>(job: PrepareJob<T>, signal: AbortSignal): Promise<Prepared<T>> {
    let held = job.pixels;
    const hold = (pixels: number) => {
      this.#pixels += pixels - held;
      held = pixels;
    };
    try {
      const value = await job.work();
      signal.throwIfAborted();
      hold(job.keptPixels);
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

  #insert(entry: Waiting): void {
    let at = this.#waiting.length;
    while (at > 0 && comesBefore(entry, this.#waiting[at - 1] as Waiting)) at -= 1;
    this.#waiting.splice(at, 0, entry);
  }

  #pump(): void {
    const { concurrency, maxPixels } = this.#options;
    while (this.#running < concurrency) {
      const [first] = this.#waiting;
      if (first === undefined) break;
      if (this.#pixels > 0 && this.#pixels + first.pixels > maxPixels) return;
      this.#waiting.shift();
      this.#running += 1;
      this.#pixels += first.pixels;
      first.start();
    }
    if (this.size === 0) for (const callback of this.#onIdle.splice(0)) callback();
  }
}

interface Waiting {
  readonly rank: number;
  readonly arrival: number;
  readonly pixels: number;
  readonly start: () => void;
}

function comesBefore(a: Waiting, b: Waiting): boolean {
  return a.rank !== b.rank ? a.rank < b.rank : a.arrival < b.arrival;
}
