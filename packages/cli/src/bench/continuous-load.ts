/**
 * An engine under continuous load: each caller sends its next call as soon as the last is answered. The difference of
 * wall time and device time is the engine's overhead.
 */
import type { BatchEvent, EncoderEngine, EngineItem } from "@vitgraph/core";

export interface LoadOptions {
  /** Calls in flight. */
  readonly callers: number;
  /** Measured calls. */
  readonly calls: number;
  /** Called after every call, including unmeasured ones. */
  readonly onCall?: (done: number, total: number) => void;
  /** Polled after every call: true ends the measurement without a result. */
  readonly isStopped?: () => boolean;
}

export interface MeasuredLoad {
  readonly callers: number;
  readonly calls: number;
  readonly devices: number;
  /** All calls together. */
  readonly wallMs: number;
  /** Device time, summed over the batches of that time. */
  readonly deviceMs: number;
  readonly batches: number;
  readonly items: number;
  readonly tokens: number;
  /** Padding as a share of the replayed budgets' tokens. */
  readonly padding: number;
}

/** The items of a call, by its index. */
export type ItemsOf = (call: number) => readonly EngineItem[];

/**
 * The cost of a steady load. One unmeasured call per caller fills the pipeline, and the load continues until the last
 * measured call is answered. Null if it was stopped.
 * @throws the error of the first item that fails
 */
export async function measureLoad(
  engine: EncoderEngine,
  itemsOf: ItemsOf,
  { callers, calls, onCall, isStopped = () => false }: LoadOptions,
): Promise<MeasuredLoad | null> {
  const total = callers + calls;
  using recorder = new Recorder(engine);
  let measured: Recording | undefined;
  await call(engine, itemsOf, callers, (done) => {
    if (done <= total) onCall?.(done, total);
    if (done === callers) recorder.restart();
    if (done === total) measured = recorder.read();
    return done < total && !isStopped();
  });
  return measured === undefined ? null : { callers, calls, ...measured };
}

/**
 * The cost of a stream of calls from its first to its last, with fixed items, so that two engines can be compared. Null
 * if it was stopped.
 * @throws the error of the first item that fails
 */
export async function measureStream(
  engine: EncoderEngine,
  itemsOf: ItemsOf,
  { callers, calls, onCall, isStopped = () => false }: LoadOptions,
): Promise<MeasuredLoad | null> {
  using recorder = new Recorder(engine);
  let begun = callers;
  let ended = 0;
  await call(engine, itemsOf, Math.min(callers, calls), (done) => {
    ended = done;
    onCall?.(done, calls);
    return begun++ < calls && !isStopped();
  });
  return ended < calls ? null : { callers, calls, ...recorder.read() };
}

/** Runs the callers. Each calls until `goesOn`, polled after each answer, returns false. */
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

/** Records finished batches and elapsed time. */
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
      deviceMs: sum(({ deviceMs }) => deviceMs),
      batches: this.#batches.length,
      items: sum(({ items }) => items),
      tokens: sum(({ tokens }) => tokens),
      padding: capacity === 0 ? 0 : 1 - used / capacity,
    };
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
  }
}
