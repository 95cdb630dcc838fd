/**
 * An engine under continuous load: callers that each send their next call as soon as the last is answered. What it takes
 * by the wall is held against what its devices themselves took: the rest is what the engine loses.
 */
import type { BatchEvent, EncoderEngine, EncoderItem } from "@vitgraph/core";

export interface LoadOptions {
  /** Calls under way at a time. */
  readonly callers: number;
  /** Calls that count. */
  readonly calls: number;
  /** Hears of every call that is done, those that do not count too. */
  readonly onCall?: (done: number, total: number) => void;
}

export interface MeasuredLoad {
  readonly callers: number;
  readonly calls: number;
  readonly devices: number;
  /** All calls together. */
  readonly wallMs: number;
  /** The devices' own measure, summed over the batches of that time. */
  readonly deviceMs: number;
  readonly batches: number;
  readonly items: number;
  readonly tokens: number;
  /** Share of the replayed budgets' tokens that no item filled. */
  readonly waste: number;
}

/** The items of each call, by its number. */
export type ItemsOf = (call: number) => readonly EncoderItem[];

/**
 * What a load takes that goes on and on: as many calls as there are callers fill the pipe and do not count, and the load
 * is kept up until the last that counts is answered. @throws what the first item that failed failed with
 */
export async function measureLoad(
  engine: EncoderEngine,
  itemsOf: ItemsOf,
  { callers, calls, onCall }: LoadOptions,
): Promise<MeasuredLoad> {
  const total = callers + calls;
  using recorder = new Recorder(engine);
  let measured: Recording | undefined;
  await call(engine, itemsOf, callers, (done) => {
    if (done <= total) onCall?.(done, total);
    if (done === callers) recorder.restart();
    if (done === total) measured = recorder.read();
    return done < total;
  });
  return { callers, calls, ...(measured as Recording) };
}

/**
 * What a stream of so many calls takes from its first to its last: the same items whatever the engine makes of them, so
 * that two engines can be compared. @throws what the first item that failed failed with
 */
export async function measureStream(
  engine: EncoderEngine,
  itemsOf: ItemsOf,
  { callers, calls, onCall }: LoadOptions,
): Promise<MeasuredLoad> {
  using recorder = new Recorder(engine);
  let begun = callers;
  await call(engine, itemsOf, Math.min(callers, calls), (done) => {
    onCall?.(done, calls);
    return begun++ < calls;
  });
  return { callers, calls, ...recorder.read() };
}

/** Callers that call one after the other for as long as `goesOn`, asked after each answer, says so. */
async function call(
  engine: EncoderEngine,
  itemsOf: ItemsOf,
  callers: number,
  goesOn: (done: number) => boolean,
): Promise<void> {
  let begun = 0;
  let done = 0;
  const caller = async () => {
    do {
      const outcomes = await engine.encode(itemsOf(begun++));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    } while (goesOn(++done));
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

type Recording = Omit<MeasuredLoad, "callers" | "calls">;

/** Batches that end, and the time that passes. */
class Recorder implements Disposable {
  readonly #devices: number;
  readonly #unsubscribe: () => void;
  #batches: BatchEvent[] = [];
  #startedAt = performance.now();

  constructor(engine: EncoderEngine) {
    this.#devices = engine.stats().devices.length;
    this.#unsubscribe = engine.subscribe({ batchEnded: (batch) => this.#batches.push(batch) });
  }

  restart(): void {
    this.#batches = [];
    this.#startedAt = performance.now();
  }

  read(): Recording {
    const wallMs = performance.now() - this.#startedAt;
    const sum = (of: (batch: BatchEvent) => number) =>
      this.#batches.reduce((all, batch) => all + of(batch), 0);
    const capacity = sum(({ budget }) => budget ?? 0);
    const used = sum(({ budget, tokens }) => (budget === null ? 0 : tokens));
    return {
      devices: this.#devices,
      wallMs,
      deviceMs: sum(({ replayMs }) => replayMs),
      batches: this.#batches.length,
      items: sum(({ items }) => items),
      tokens: sum(({ tokens }) => tokens),
      waste: capacity === 0 ? 0 : 1 - used / capacity,
    };
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
  }
}
