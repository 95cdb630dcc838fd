/**
 * The stream of an engine's ended batches, for listeners and for asynchronous readers. A reader that falls behind loses the
 * oldest events and sees how many: it never delays the engine, and its buffer is bounded.
 */
import { VitgraphError } from "@vitgraph/errors";
import type { BatchEvent, EngineObserver, EngineState } from "./observer.js";

/** Options of `BatchEvents.read`. */
export interface ReadOptions {
  /** Most events buffered for a reader. Default: 1024. */
  readonly capacity?: number;
  /** Ends the stream after the buffered events. */
  readonly signal?: AbortSignal;
}

/** Every batch of an engine when it ends, for listeners and as an async iterable. An observer. */
export class BatchEvents implements EngineObserver {
  readonly #listeners = new Set<(event: BatchEvent) => void>();
  readonly #readers = new Set<BatchEventReader>();
  #closed = false;

  /** Returns a function that unsubscribes. A listener is called on JavaScript's thread and must be quick. */
  subscribe(listener: (event: BatchEvent) => void): () => void {
    // A new function each time, so that one listener can be subscribed twice.
    const own = (event: BatchEvent) => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /**
   * The events from now on, for `for await`. The stream ends when the engine is closed, when `signal` aborts, or when the
   * loop is left.
   * @throws VG_ARGUMENT_INVALID
   */
  read({ capacity = 1024, signal }: ReadOptions = {}): BatchEventReader {
    if (!(Number.isSafeInteger(capacity) && capacity > 0)) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `the capacity of a reader of batch events is ${capacity}`,
        {
          remedy: "give a positive whole number of events",
          details: { capacity },
        },
      );
    }
    const end = () => reader.end();
    const reader = new BatchEventReader(capacity, () => {
      this.#readers.delete(reader);
      signal?.removeEventListener("abort", end);
    });
    this.#readers.add(reader);
    signal?.addEventListener("abort", end, { once: true });
    if (this.#closed || signal?.aborted) reader.end();
    return reader;
  }

  batchEnded(event: BatchEvent): void {
    for (const listener of this.#listeners) listener(event);
    for (const reader of this.#readers) reader.push(event);
  }

  stateChanged(state: EngineState): void {
    if (state !== "closed") return;
    this.#closed = true;
    for (const reader of this.#readers) reader.end();
  }
}

/** One reader's view; made by {@link BatchEvents.read}. */
export class BatchEventReader implements AsyncIterableIterator<BatchEvent, undefined> {
  readonly #capacity: number;
  readonly #onEnd: () => void;
  readonly #buffer: BatchEvent[] = [];
  readonly #waiting: ((result: IteratorResult<BatchEvent, undefined>) => void)[] = [];
  #dropped = 0;
  #ended = false;

  constructor(capacity: number, onEnd: () => void) {
    this.#capacity = capacity;
    this.#onEnd = onEnd;
  }

  /** Events lost so far because the buffer was full. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Appends an event; the oldest one is dropped if the buffer is full. */
  push(event: BatchEvent): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting({ done: false, value: event });
      return;
    }
    if (this.#buffer.length === this.#capacity) {
      this.#buffer.shift();
      this.#dropped += 1;
    }
    this.#buffer.push(event);
  }

  /** Ends the stream; buffered events can still be read. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
    this.#onEnd();
  }

  /** The next event, or the end of the stream. */
  next(): Promise<IteratorResult<BatchEvent, undefined>> {
    const event = this.#buffer.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Called when a loop is left: drops the buffered events. */
  return(): Promise<IteratorResult<BatchEvent, undefined>> {
    this.#buffer.length = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** The reader itself, for `for await`. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}
