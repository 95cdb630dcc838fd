/**
 * The engine: continuous encoding for many callers, on one device or several.
 *
 *     items ─open▶ size known ─admit▶ ─prepare pool▶ ready ─(output cache)▶ queue ─pack▶ batch ─least loaded device▶ answers
 *
 * Requests of all callers share batches. Every item is answered exactly once, in its call's order; an item's error is
 * that item's answer. A call as a whole is rejected only before any of its items is accepted: the engine is closed or
 * has no device left, the queue is full, or an argument is invalid.
 *
 * Nothing here works on pixels: decoding, hashing and encoding run on other threads.
 */
import { encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import { VitgraphError } from "@vitgraph/errors";
import { EncoderQueue, type ItemSpec, type QueueBatch } from "@vitgraph/scheduler";
import { DEFAULT_MAX_DECODE_BYTES } from "../images/index.js";
import { checkedList } from "../item.js";
import { type LoadedModel, loadModel } from "../models/load-model.js";
import {
  type BatchStart,
  type DeviceState,
  type EngineObserver,
  type EngineState,
  type ItemSettled,
  ObserverList,
} from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import { type EncoderStats, StatsCounter } from "../runtime/stats.js";
import { BATCHES_IN_FLIGHT } from "../runtime/vision-encoder.js";
import { Admission, type Place } from "./admission.js";
import { type Call, ItemAnswerer, type QueuedWork, type Settled } from "./answer-item.js";
import type { DeviceLane } from "./device-lane.js";
import { DevicePool } from "./device-pool.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import { engineIdentity } from "./engine-identity.js";
import type { EngineItem, OpenedItem } from "./engine-item.js";
import {
  checkEncodeOptions,
  type EncodeOptions,
  type EncoderEngineOptions,
  type ResolvedEngineOptions,
  resolveEngineOptions,
} from "./engine-options.js";
import { OutputCache, type OutputCacheStats } from "./output-cache.js";
import { PreparePool } from "./prepare-pool.js";
import { Ticket } from "./ticket.js";

export interface CloseOptions {
  /** Rejects what is waiting or running, instead of finishing it. Default: false. */
  readonly abort?: boolean;
}

/** An item's outcome, with its place among the items of the call. */
export interface IndexedOutcome {
  readonly index: number;
  readonly outcome: PromiseSettledResult<Embedding>;
}

/** vLLM's statistics of the encoder, under its names, and the engine's own. Plain data. */
export interface EngineStats extends EncoderStats {
  readonly state: EngineState;
  readonly queue: {
    /** Items that wait, prepared or not. */
    readonly items: number;
    /** Tokens of those whose size is known. */
    readonly tokens: number;
    /** Images that are opened or prepared, or wait for that. */
    readonly preparing: number;
    readonly batches_in_flight: number;
  };
  readonly devices: readonly DeviceStats[];
  /** Null if there is no output cache. */
  readonly output_cache: OutputCacheStats | null;
}

export interface DeviceStats {
  readonly backend: "cpu" | "cuda" | "null";
  readonly name: string;
  readonly state: DeviceState;
  /** Batches that succeeded on it. */
  readonly batches: number;
  /** Why it is not up. */
  readonly error?: string;
}

/** How much waiting makes up for one step of priority, in the queue and in the prepare pool. */
const AGING_MS = 1000;
/** Of a decoded pixel: red, green and blue. */
const PIXEL_BYTES = 3;

export class EncoderEngine implements AsyncDisposable {
  readonly model: LoadedModel;
  readonly #options: ResolvedEngineOptions;
  readonly #observers: ObserverList;
  readonly #devices: DevicePool;
  readonly #ownsModel: boolean;
  readonly #cache: EmbeddingCache | undefined;
  readonly #admission: Admission;
  readonly #pool: PreparePool;
  readonly #queue: EncoderQueue<QueuedWork, Embedding>;
  readonly #answerer: ItemAnswerer;
  readonly #counter: StatsCounter;
  readonly #calls = new Map<Promise<unknown>, Ticket>();
  #state: EngineState = "warming";
  #failure: VitgraphError | undefined;
  #batches = 0;
  #callIds = 0;
  #closing: Promise<void> | undefined;

  private constructor(
    model: LoadedModel,
    options: ResolvedEngineOptions,
    observers: ObserverList,
    devices: DevicePool,
    identity: string,
  ) {
    const { limits, clock } = options;
    const { lanes } = devices;
    this.model = model;
    this.#options = options;
    this.#observers = observers;
    this.#devices = devices;
    this.#ownsModel = typeof options.model === "string";
    this.#cache =
      options.outputCache ??
      (options.outputCacheBytes > 0 ? new OutputCache(options.outputCacheBytes) : undefined);
    this.#admission = new Admission(limits);
    this.#pool = new PreparePool({
      concurrency: limits.prepareConcurrency,
      maxBytes: PIXEL_BYTES * limits.maxPixelsInFlight,
      agingMs: AGING_MS,
      clock,
    });
    this.#queue = new EncoderQueue<QueuedWork, Embedding>({
      limits: lanes[0].encoder.budgets.limits,
      run: (batch) => this.#run(batch),
      pack: (items) => [...devices.pack(items)],
      windowMs: options.batchWindowMs,
      maxInFlight: lanes.length * BATCHES_IN_FLIGHT,
      agingMs: AGING_MS,
      clock,
    });
    this.#answerer = new ItemAnswerer({
      model,
      identity,
      cache: this.#cache,
      pool: this.#pool,
      queue: this.#queue,
      observers,
      limits: {
        maxPixels: limits.maxPixels,
        // An image that needs more than the pool ever holds would run beside nothing else, and above the limit.
        maxDecodeBytes: Math.min(DEFAULT_MAX_DECODE_BYTES, PIXEL_BYTES * limits.maxPixelsInFlight),
      },
      clock,
    });
    const budgets = new Set(lanes.flatMap(({ encoder }) => encoder.tokenBudgets));
    const failed = new Set(lanes.flatMap(({ encoder }) => encoder.stats().failed_graphs));
    this.#counter = new StatsCounter([...budgets].sort(ascending), [...failed].sort(ascending));
  }

  /**
   * Loads the model on every device, captures, checks and measures; resolves when the engine is ready. All devices must
   * come up: a missing one is an error of the configuration.
   * @throws what loading the model, making a device or capturing throws; VG_ARGUMENT_INVALID for an option
   */
  static async create(given: EncoderEngineOptions): Promise<EncoderEngine> {
    const options = resolveEngineOptions(given);
    const { compile } = encoderOptions(parseCompilationConfig(options.compilationConfig).config);
    const observers = new ObserverList(options.observers);
    observers.stateChanged("loading");
    let model: LoadedModel | undefined;
    try {
      model = typeof options.model === "string" ? await loadModel(options.model) : options.model;
      let engine: EncoderEngine | undefined;
      const devices = await DevicePool.open(model, options, observers, (lane, cause) => {
        if (engine !== undefined) engine.#deviceChanged(lane, cause);
      });
      const dtype = devices.lanes[0].device.activationDType;
      engine = new EncoderEngine(
        model,
        options,
        observers,
        devices,
        engineIdentity(model, { dtype, compile }),
      );
      const created = engine;
      observers.watch(() => created.stats());
      engine.#enter("ready");
      return engine;
    } catch (error) {
      if (typeof options.model === "string") await model?.[Symbol.asyncDispose]();
      observers.stateChanged("failed", error);
      throw error;
    }
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Adds an observer; the function that is returned removes it. */
  subscribe(observer: EngineObserver): () => void {
    return this.#observers.add(observer);
  }

  /**
   * One outcome for each item, in the items' order. Rejections of single items are VitgraphErrors. An embedding belongs
   * to its caller, who may write to it and transfer it.
   * @throws (as a rejected promise) VG_QUEUE_FULL, VG_CLOSED, VG_DEVICE_FAILED if no device is left, VG_ABORTED,
   *   VG_DEADLINE_EXCEEDED, VG_ARGUMENT_INVALID: none of the items was accepted
   */
  encode(
    items: readonly EngineItem[],
    options: EncodeOptions = {},
  ): Promise<PromiseSettledResult<Embedding>[]> {
    return this.#serve("encode", items, options, (list, call) => this.#call(list, call));
  }

  /**
   * As {@link encode}, each item's outcome as soon as it is ready, whatever the items' order. The call is made when the first
   * outcome is asked for; whoever stops asking takes the rest of it back.
   * @throws as {@link encode} does, when the first outcome is asked for
   */
  async *encodeEach(
    items: readonly EngineItem[],
    options: EncodeOptions = {},
  ): AsyncGenerator<IndexedOutcome> {
    const ready: IndexedOutcome[] = [];
    let ticket: Ticket | undefined;
    let done = false;
    let wake = () => {};
    const call = this.#serve("encodeEach", items, options, (list, started) => {
      ticket = started.ticket;
      return this.#call(list, started, (index, outcome) => {
        ready.push({ index, outcome });
        wake();
      });
    });
    const ended = call
      .catch(() => {})
      .then(() => {
        done = true;
        wake();
      });
    try {
      for (;;) {
        const next = ready.shift();
        if (next !== undefined) yield next;
        else if (done) break;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
      await call;
    } finally {
      ticket?.end(new VitgraphError("VG_ABORTED", "the caller stopped asking for outcomes"));
      await ended;
    }
  }

  /**
   * The size of each item, without encoding it: of encoded images the header is read. One outcome for each item.
   * @throws (as a rejected promise) as {@link encode} does
   */
  getItemSpecs(
    items: readonly EngineItem[],
    options: EncodeOptions = {},
  ): Promise<PromiseSettledResult<ItemSpec>[]> {
    return this.#serve("getItemSpecs", items, options, async (list, call) => {
      const opened = await this.#openAll(list, call);
      return opened.map((outcome) =>
        outcome.status === "fulfilled" ? { status: "fulfilled", value: outcome.value.spec } : outcome,
      );
    });
  }

  /** The smallest and the largest useful token budget for this model: vLLM infers budgets from them. */
  budgetRange(): { readonly min: number; readonly max: number } {
    return { min: this.model.vision.minTokenBudget, max: this.#options.maxBatchTokens };
  }

  stats(): EngineStats {
    return {
      ...this.#counter.snapshot(),
      state: this.#state,
      queue: {
        items: this.#admission.items,
        tokens: this.#admission.tokens,
        preparing: this.#pool.size,
        batches_in_flight: this.#queue.batchesInFlight,
      },
      devices: this.#devices.lanes.map(({ device: { info }, state, batches, cause }) => ({
        backend: info.backend,
        name: info.name,
        state,
        batches,
        ...(cause === undefined ? {} : { error: cause.message }),
      })),
      output_cache: this.#cache?.stats() ?? null,
      grid_cache: this.#devices.gridCacheStats(),
    };
  }

  /** Resolves when every call made so far has been answered. New calls are still accepted. */
  async drain(): Promise<void> {
    await Promise.allSettled([...this.#calls.keys(), this.#queue.drain()]);
  }

  /**
   * Accepts no more calls, finishes (or aborts) the ones it has, and disposes the encoders, the devices and the model
   * that it made. Resolves when that is done; a second call waits for the first.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close();
    if (options.abort) this.#abortCalls();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#state !== "failed") this.#enter("draining");
    await this.drain();
    await Promise.all([this.#queue.close(), this.#pool.idle()]);
    const closed = await this.#devices.close();
    if (this.#ownsModel) await this.model[Symbol.asyncDispose]();
    this.#enter("closed");
    for (const outcome of closed) if (outcome.status === "rejected") throw outcome.reason;
  }

  #abortCalls(): void {
    const error = new VitgraphError("VG_CLOSED", "the engine was closed before the item was done", {
      remedy: "send it to another engine",
    });
    for (const ticket of this.#calls.values()) ticket.end(error);
  }

  /** Checks the arguments of a call, and runs it with a ticket. */
  async #serve<Result>(
    method: string,
    items: readonly EngineItem[],
    options: EncodeOptions,
    run: (items: readonly EngineItem[], call: Call) => Promise<Result>,
  ): Promise<Result> {
    this.#checkServing();
    const list = checkedList(method, items, "{ image: bytes }");
    checkEncodeOptions(method, options);
    const { signal, timeoutMs, priority = 0, caller } = options;
    const { clock, batchWindowMs } = this.#options;
    using ticket = new Ticket({ signal, timeoutMs, clock });
    const id = this.#callIds++;
    // An item whose time is over within the window would wait for others only to be late.
    const windowMs = timeoutMs !== undefined && timeoutMs <= batchWindowMs ? 0 : batchWindowMs;
    const work = run(list, { id, ticket, priority, caller: caller ?? id, windowMs });
    this.#calls.set(work, ticket);
    try {
      return await work;
    } finally {
      this.#calls.delete(work);
    }
  }

  /** Admits, answers, and informs the observers. */
  async #call(
    items: readonly EngineItem[],
    call: Call,
    onSettled?: (index: number, outcome: PromiseSettledResult<Embedding>) => void,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    const { id } = call;
    const startedAt = this.#now();
    this.#observers.callStarted({ id, items: items.length });
    this.#observers.itemsArrived(items.length);
    let places: readonly Place[] = [];
    let fulfilled = 0;
    try {
      places = this.#admission.enter(items.length, call.caller);
      const opened = await this.#openAll(items, call);
      this.#admission.count(
        opened.flatMap((outcome, index) => {
          if (outcome.status === "rejected") return [];
          return [{ place: places[index] as Place, tokens: outcome.value.spec.outputTokens }];
        }),
      );
      const outcomes = await Promise.all(
        opened.map(async (item, index) => {
          const outcome = await this.#settle(item, places[index] as Place, call);
          onSettled?.(index, outcome);
          return outcome;
        }),
      );
      fulfilled = outcomes.filter(({ status }) => status === "fulfilled").length;
      return outcomes;
    } catch (error) {
      for (const _ of items) this.#countSettled({ status: "rejected", reason: error }, "refused");
      throw error;
    } finally {
      for (const place of places) place.leave();
      const wallMs = this.#now() - startedAt;
      const rejected = items.length - fulfilled;
      this.#observers.callEnded({ id, items: items.length, fulfilled, rejected, wallMs });
    }
  }

  #openAll(items: readonly EngineItem[], call: Call): Promise<PromiseSettledResult<OpenedItem>[]> {
    return Promise.allSettled(items.map((item) => call.ticket.race(this.#answerer.open(item, call))));
  }

  /** One item's outcome; never rejects. */
  async #settle(
    opened: PromiseSettledResult<OpenedItem>,
    place: Place,
    call: Call,
  ): Promise<PromiseSettledResult<Embedding>> {
    const { outcome, source }: Settled =
      opened.status === "rejected"
        ? { outcome: opened, source: "refused" }
        : await this.#answerer.answer(opened.value, place, call);
    this.#countSettled(outcome, source);
    place.leave();
    return outcome;
  }

  #countSettled(outcome: PromiseSettledResult<Embedding>, source: ItemSettled["source"]): void {
    if (outcome.status === "fulfilled") {
      this.#observers.itemSettled({ outcome: "fulfilled", source });
      return;
    }
    this.#counter.failed(1);
    const code = VitgraphError.is(outcome.reason) ? outcome.reason.code : "VG_INTERNAL";
    this.#observers.itemSettled({ outcome: "rejected", code, source });
  }

  /** Runs a batch on the device that is done with it first. */
  async #run({ items, outputTokens, budget: packed }: QueueBatch<QueuedWork>) {
    for (const { payload } of items) payload.started();
    const lane = this.#devices.pick(outputTokens, packed);
    if (lane === undefined) throw this.#failure ?? this.#devices.lostError();
    const budget = lane.budgetOf(packed);
    const batch: BatchStart = {
      index: this.#batches++,
      device: lane.index,
      items: items.length,
      tokens: outputTokens,
      budget,
      waste: budget === null ? 0 : 1 - outputTokens / budget,
      queueMs: items.map(({ waitedMs }) => waitedMs),
      calls: [...new Set(items.map(({ payload }) => payload.call))],
    };
    this.#observers.batchStarted(batch);
    const startedAt = this.#now();
    const outcomes = await lane.run(
      items.map(({ payload }) => payload.item),
      outputTokens,
      packed,
    );
    const wallMs = this.#now() - startedAt;
    const first = outcomes.find((outcome) => outcome.status === "fulfilled");
    const ran = outcomes.some(wasComputed);
    if (ran) this.#counter.batch(items.length, outputTokens, budget);
    this.#observers.batchEnded({
      ...batch,
      replayMs: first?.value.batch.durationMs ?? 0,
      wallMs,
      outcome: ran ? "ok" : "failed",
    });
    return outcomes;
  }

  #deviceChanged(lane: DeviceLane, cause: unknown): void {
    this.#observers.deviceChanged({
      device: lane.index,
      state: lane.state,
      ...(cause === undefined ? {} : { cause }),
    });
    const lost = this.#devices.lanes.every(({ state }) => state === "down");
    if (lost) {
      this.#failure = this.#devices.lostError();
      if (this.#state === "ready") this.#enter("failed", this.#failure);
    }
    // While a device may come back, the queue holds its items; once none will, they run into the error.
    this.#queue.maxInFlight = lost ? 1 : this.#devices.up * BATCHES_IN_FLIGHT;
  }

  #checkServing(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === "ready") return;
    throw new VitgraphError("VG_CLOSED", "the engine is closed", {
      remedy: "send the call to one that is open",
    });
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #enter(state: EngineState, cause?: unknown): void {
    this.#state = state;
    this.#observers.stateChanged(state, cause);
  }
}

/** A rejected NaN counts: its batch ran. */
function wasComputed(outcome: PromiseSettledResult<Embedding>): boolean {
  return outcome.status === "fulfilled" || outcome.reason.code === "VG_OUTPUT_NOT_FINITE";
}

const ascending = (a: number, b: number) => a - b;
