/**
 * The engine: continuous encoding for many callers, on one device or several.
 *
 * It owns the parts and their lifetime: the device pool, the queue, the output cache, and the flow that takes a call's
 * items through them. Requests of all callers share batches.
 *
 * Nothing here works on pixels: decoding, hashing and encoding run on other threads.
 */
import { type EncoderOptions, encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import type { ExportedMemory } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import { EncoderQueue, type ItemSpec } from "@vitgraph/scheduler";
import { DEFAULT_MAX_DECODE_BYTES } from "../images/index.js";
import { checkedList } from "../item.js";
import { type LoadedModel, loadModel } from "../models/load-model.js";
import { type EngineObserver, type EngineState, ObserverList } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import type { StatsCounter } from "../runtime/stats.js";
import { BATCHES_IN_FLIGHT } from "../runtime/vision-encoder.js";
import type { QueuedWork } from "./answer-item.js";
import { DevicePool } from "./device-pool.js";
import type { DeviceWorker } from "./device-worker.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import { engineIdentity } from "./engine-identity.js";
import type { EngineItem } from "./engine-item.js";
import {
  checkEncodeOptions,
  checkEngineOptions,
  type EncodeOptions,
  type EncoderEngineOptions,
  type ResolvedEngineOptions,
  resolveEngineOptions,
} from "./engine-options.js";
import type { EngineStats } from "./engine-stats.js";
import { OutputCache } from "./output-cache.js";
import { PreprocessPool } from "./preprocess-pool.js";
import { RequestContext } from "./request-context.js";
import { RequestFlow } from "./request-flow.js";
import { BatchRunner } from "./run-batch.js";

/** Options of `EncoderEngine.close`. */
export interface CloseOptions {
  /** Rejects waiting and running calls instead of finishing them. Default: false. */
  readonly abort?: boolean;
}

/** An item's outcome, with its index in the call. */
export interface IndexedOutcome {
  readonly index: number;
  readonly outcome: PromiseSettledResult<Embedding>;
}

/** Waiting time that makes up for one step of priority, in the queue and in the preprocess pool. */
const AGING_MS = 1000;
/** Red, green and blue. */
const PIXEL_BYTES = 3;

/**
 * Encodes the images and videos of many callers, on one device or several. `EncoderEngine.create` opens it; close it when
 * done.
 */
export class EncoderEngine implements AsyncDisposable {
  readonly model: LoadedModel;
  /**
   * Identifies what an embedding depends on besides its item: weights, processor settings, dtype. For keys of stored
   * embeddings.
   */
  readonly identity: string;
  readonly #options: ResolvedEngineOptions;
  readonly #observers: ObserverList;
  readonly #devices: DevicePool;
  readonly #cache: EmbeddingCache | undefined;
  readonly #pool: PreprocessPool;
  readonly #headers: PreprocessPool;
  readonly #queue: EncoderQueue<QueuedWork, Embedding>;
  readonly #flow: RequestFlow;
  readonly #counter: StatsCounter;
  readonly #calls = new Map<Promise<unknown>, RequestContext>();
  #state: EngineState = "warming";
  #failure: VitgraphError | undefined;
  #callIds = 0;
  #closing: Promise<void> | undefined;

  private constructor(
    model: LoadedModel,
    options: ResolvedEngineOptions,
    observers: ObserverList,
    devices: DevicePool,
  ) {
    const { limits, clock, encoder } = options;
    const background = options.background === undefined ? {} : { background: options.background };
    const { workers } = devices;
    this.model = model;
    this.#options = options;
    this.#observers = observers;
    this.#devices = devices;
    this.#counter = devices.newCounter();
    this.#cache =
      options.outputCache ??
      (options.outputCacheBytes > 0 ? new OutputCache(options.outputCacheBytes) : undefined);
    this.#pool = new PreprocessPool({
      concurrency: limits.preprocessConcurrency,
      maxBytes: PIXEL_BYTES * limits.maxPixelsInFlight,
      agingMs: AGING_MS,
      clock,
    });
    // One at a time, because headers are read on this thread. Their bytes belong to the callers.
    this.#headers = new PreprocessPool({
      concurrency: 1,
      maxBytes: Number.POSITIVE_INFINITY,
      agingMs: AGING_MS,
      clock,
    });
    const runner = new BatchRunner({ devices, observers, counter: this.#counter, clock });
    this.#queue = new EncoderQueue<QueuedWork, Embedding>({
      limits: workers[0].encoder.budgets.limits,
      pack: (items) => devices.pack(items),
      run: (batch) => runner.run(batch),
      slackMs: (tokens) => devices.slackMs(tokens),
      maxInFlight: workers.length * BATCHES_IN_FLIGHT,
      agingMs: AGING_MS,
      clock,
    });
    const dtype = workers[0].device.activationDType;
    this.identity = engineIdentity(model, { dtype, compile: encoder.compile, ...background });
    this.#flow = new RequestFlow({
      model,
      identity: this.identity,
      admission: limits,
      cache: this.#cache,
      pool: this.#pool,
      headers: this.#headers,
      queue: this.#queue,
      observers,
      counter: this.#counter,
      limits: {
        ...background,
        maxPixels: limits.maxPixels,
        // The pool would run an image above its limit alone, so such an image is refused instead.
        maxDecodeBytes: Math.min(DEFAULT_MAX_DECODE_BYTES, PIXEL_BYTES * limits.maxPixelsInFlight),
      },
      clock,
    });
  }

  /**
   * Loads the model on every device, captures and checks graphs, and measures costs; resolves when the engine is ready.
   * All devices must open: a missing one is a configuration error.
   * @throws VG_ARGUMENT_INVALID for an option, VG_CONFIG_INVALID, and errors of loading the model, of devices and of
   *   capturing
   */
  static async create(options: EncoderEngineOptions): Promise<EncoderEngine> {
    checkEngineOptions(options);
    const { config } = parseCompilationConfig(options.compilationConfig ?? {});
    return EncoderEngine.start(options, encoderOptions(config));
  }

  /** Like {@link create}, for checked options and a parsed compilation config: the entry point of the plugin. */
  static async start(
    given: Omit<EncoderEngineOptions, "compilationConfig">,
    encoder: EncoderOptions,
  ): Promise<EncoderEngine> {
    const options = resolveEngineOptions(given, encoder);
    const observers = new ObserverList(options.observers);
    observers.stateChanged("loading");
    let model: LoadedModel | undefined;
    let devices: DevicePool | undefined;
    try {
      model = typeof options.model === "string" ? await loadModel(options.model) : options.model;
      let engine: EncoderEngine | undefined;
      devices = await DevicePool.open(model, options, observers, (worker, cause) => {
        if (engine !== undefined) engine.#deviceChanged(worker, cause);
      });
      const created = new EncoderEngine(model, options, observers, devices);
      engine = created;
      observers.watch(() => created.stats());
      engine.#enter("ready");
      return engine;
    } catch (error) {
      await devices?.close();
      // The first error is the one to report.
      if (typeof options.model === "string") await Promise.allSettled([model?.[Symbol.asyncDispose]()]);
      observers.stateChanged("failed", error);
      throw error;
    }
  }

  /** The state of the engine as a whole; devices have their own. */
  get state(): EngineState {
    return this.#state;
  }

  /** Adds an observer; the returned function removes it. */
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
    return this.#serve("encode", items, options, (list, context) =>
      this.#flow.encode(list, context, { onItemSpecs: options.onItemSpecs }),
    );
  }

  /**
   * Like {@link encode}, but yields each item's outcome as soon as it is ready, in any order. The call starts with the
   * first `next()`; leaving the loop cancels the remaining items.
   * @throws like {@link encode}, from the first `next()`
   */
  async *encodeEach(
    items: readonly EngineItem[],
    options: EncodeOptions = {},
  ): AsyncGenerator<IndexedOutcome> {
    const ready: IndexedOutcome[] = [];
    let context: RequestContext | undefined;
    let done = false;
    let wake = () => {};
    const call = this.#serve("encodeEach", items, options, (list, started) => {
      context = started;
      return this.#flow.encode(list, started, {
        onItemSpecs: options.onItemSpecs,
        onSettled: (index, outcome) => {
          ready.push({ index, outcome });
          wake();
        },
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
      context?.end(new VitgraphError("VG_ABORTED", "the caller stopped reading outcomes"));
      await ended;
    }
  }

  /**
   * The size of each item, without encoding it; of encoded images only the header is read. One outcome for each item.
   * @throws (as a rejected promise) like {@link encode}, except VG_QUEUE_FULL: these items do not count as waiting
   */
  getItemSpecs(
    items: readonly EngineItem[],
    options: EncodeOptions = {},
  ): Promise<PromiseSettledResult<ItemSpec>[]> {
    return this.#serve("getItemSpecs", items, options, (list, context) => this.#flow.specs(list, context));
  }

  /** The minimum and maximum useful token budget of this model. vLLM infers budgets from them. */
  budgetRange(): { readonly min: number; readonly max: number } {
    return { min: this.model.vision.minTokenBudget, max: this.#options.maxBatchTokens };
  }

  /**
   * Device memory for rows that another process on the same GPU reads (CUDA IPC); null if no device of the engine is up on
   * that GPU. Belongs to the caller.
   * @param pciBusId PCI bus id of the GPU, as in a CUDA device's facts: "0000:1b:00.0"
   * @throws VG_DEVICE_OUT_OF_MEMORY, VG_DEVICE_FAILED
   */
  exportMemory(pciBusId: string, sizeBytes: number): ExportedMemory | null {
    const worker = this.#devices.workers.find(
      ({ state, device }) =>
        state === "up" && String(device.info.facts.pciBusId).toLowerCase() === pciBusId.toLowerCase(),
    );
    return worker?.device.exportMemory(sizeBytes) ?? null;
  }

  /** Counts since the start, and the present load of queue, caches and devices. */
  stats(): EngineStats {
    return {
      ...this.#counter.snapshot(),
      state: this.#state,
      queue: {
        items: this.#flow.admission.items,
        tokens: this.#flow.admission.tokens,
        preparing: this.#pool.size + this.#headers.size,
        batchesInFlight: this.#queue.batchesInFlight,
      },
      devices: this.#devices.stats(),
      outputCache: this.#cache?.stats() ?? null,
      gridCache: this.#devices.gridCacheStats(),
    };
  }

  /** Resolves when every call made so far has been answered. New calls are still accepted. */
  async drain(): Promise<void> {
    await Promise.allSettled([...this.#calls.keys(), this.#queue.drain()]);
  }

  /**
   * Refuses new calls, finishes (or aborts) the accepted ones, and disposes the encoders, the devices, and the model if
   * the engine loaded it. Resolves when that is done; a second call waits for the first.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close();
    if (options.abort) this.#abortCalls();
    return this.#closing;
  }

  /** {@link close}, which finishes the accepted calls. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#state !== "failed") this.#enter("draining");
    await this.drain();
    await Promise.all([this.#queue.drain(), this.#pool.idle(), this.#headers.idle()]);
    const closed = await this.#devices.close();
    if (typeof this.#options.model === "string")
      closed.push(...(await Promise.allSettled([this.model[Symbol.asyncDispose]()])));
    this.#enter("closed");
    for (const outcome of closed) if (outcome.status === "rejected") throw outcome.reason;
  }

  #abortCalls(): void {
    const error = new VitgraphError("VG_CLOSED", "the engine was closed before the item was done", {
      remedy: "send it to another engine",
    });
    for (const context of this.#calls.values()) context.end(error);
  }

  /** Checks the arguments of a call, and runs it. */
  async #serve<Result>(
    method: string,
    items: readonly EngineItem[],
    options: EncodeOptions,
    run: (items: readonly EngineItem[], context: RequestContext) => Promise<Result>,
  ): Promise<Result> {
    this.#checkServing();
    const list = checkedList(method, items, "{ image: bytes }");
    checkEncodeOptions(method, options);
    const { clock, batchWindowMs: windowMs } = this.#options;
    using context = new RequestContext({ ...options, id: this.#callIds++, windowMs, clock });
    const work = run(list, context);
    this.#calls.set(work, context);
    try {
      return await work;
    } finally {
      this.#calls.delete(work);
    }
  }

  #deviceChanged(worker: DeviceWorker, cause: unknown): void {
    this.#observers.deviceChanged({
      device: worker.index,
      state: worker.state,
      ...(cause === undefined ? {} : { cause }),
    });
    const lost = this.#devices.workers.every(({ state }) => state === "down");
    if (lost) {
      this.#failure = this.#devices.lostError();
      if (this.#state === "ready") this.#enter("failed", this.#failure);
    }
    // While a device may recover, items stay queued. If none can recover, the batch must start to fail with the error.
    this.#queue.maxInFlight = lost ? 1 : this.#devices.up * BATCHES_IN_FLIGHT;
  }

  #checkServing(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state === "ready") return;
    throw new VitgraphError("VG_CLOSED", "the engine is closed", {
      remedy: "send the call to one that is open",
    });
  }

  #enter(state: EngineState, cause?: unknown): void {
    this.#state = state;
    this.#observers.stateChanged(state, cause);
  }
}
