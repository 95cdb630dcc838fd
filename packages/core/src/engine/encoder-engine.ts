/**
 * The engine: continuous encoding for many callers, on one device or several.
 *
 *     items ─open▶ size known ─admit▶ ─prepare pool▶ ready ─(output cache)▶ queue ─pack▶ batch ─least loaded lane▶ answers
 *
 * Requests of all callers share batches. Every item is answered exactly once, in its call's order; what is wrong with
 * one item is that item's answer. A call is refused as a whole (its promise rejects) only before anything of it was
 * taken in: the engine is closed or has no device left, there is no room, or its options mean nothing.
 *
 * Nothing here works on pixels: decoding, hashing and encoding run on other threads, and this thread hands over.
 */
import { encoderOptions, parseCompilationConfig } from "@vitgraph/config";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import {
  assignRanksByCost,
  type Batch,
  EncoderQueue,
  type ItemSpec,
  type QueueBatch,
  type SubmitOptions,
} from "@vitgraph/scheduler";
import type { EncoderItem } from "../item.js";
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
import type { GridCacheStats } from "../runtime/grid-cache.js";
import { type EncoderStats, StatsCounter } from "../runtime/stats.js";
import { BATCHES_IN_FLIGHT } from "../runtime/vision-encoder.js";
import { Admission, type Place } from "./admission.js";
import { DeviceLane } from "./device-lane.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import { engineIdentity } from "./engine-identity.js";
import { type EngineItem, type OpenedItem, openItem } from "./engine-item.js";
import {
  type EncodeOptions,
  type EncoderEngineOptions,
  type ResolvedEngineOptions,
  resolveEngineOptions,
} from "./engine-options.js";
import { openDevice } from "./open-device.js";
import { contentKey, OutputCache, type OutputCacheStats, uuidKey } from "./output-cache.js";
import { packSome } from "./packing.js";
import { type Prepared, PreparePool } from "./prepare-pool.js";
import { itemFlops } from "./replay-costs.js";
import { Ticket } from "./ticket.js";

export interface CloseOptions {
  /** Rejects what is waiting or running, instead of finishing it. Default: false. */
  readonly abort?: boolean;
}

/** vLLM's statistics of the encoder, and the engine's own. Plain data. */
export interface EngineStats extends EncoderStats {
  readonly state: EngineState;
  readonly queue: {
    /** Items that wait, prepared or not. */
    readonly items: number;
    /** Tokens of those whose size is known. */
    readonly tokens: number;
    /** Items that are being made ready, or wait for that. */
    readonly preparing: number;
    readonly batches_in_flight: number;
  };
  readonly devices: readonly DeviceStats[];
  /** Null where there is no output cache. */
  readonly output_cache: OutputCacheStats | null;
}

export interface DeviceStats {
  readonly backend: "cpu" | "cuda" | "null";
  readonly name: string;
  readonly state: DeviceState;
  /** Batches that succeeded there. */
  readonly batches: number;
  /** Why it is not up. */
  readonly error?: string;
}

/** How much waiting outweighs one step of priority, in the queue and in front of it. */
const AGING_MS = 1000;
/** Items among which a batch is chosen: enough to choose from, few enough to pack in a millisecond or two. */
const MOST_PACKED_ITEMS = 128;
/**
 * Where all that waits would be one batch, it is run in two parts if that takes at most so many times the device's time:
 * less than what the device would stand idle for. Handing answers over and bringing the next calls in takes as long as
 * computing, where images are small.
 */
const MOST_SPLIT_COST = 1.2;

export class EncoderEngine implements AsyncDisposable {
  readonly model: LoadedModel;
  readonly #options: ResolvedEngineOptions;
  readonly #observers: ObserverList;
  readonly #lanes: readonly DeviceLane[];
  readonly #identity: string;
  readonly #ownsModel: boolean;
  readonly #cache: EmbeddingCache | undefined;
  readonly #admission: Admission;
  readonly #pool: PreparePool;
  readonly #queue: EncoderQueue<QueuedWork, Embedding>;
  readonly #counter: StatsCounter;
  readonly #flopsOf: (spec: ItemSpec) => number;
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
    lanes: readonly DeviceLane[],
    identity: string,
  ) {
    const { limits, clock } = options;
    this.model = model;
    this.#options = options;
    this.#observers = observers;
    this.#lanes = lanes;
    this.#identity = identity;
    this.#ownsModel = typeof options.model === "string";
    this.#cache =
      options.outputCache ??
      (options.outputCacheBytes > 0 ? new OutputCache(options.outputCacheBytes) : undefined);
    this.#admission = new Admission(limits);
    this.#pool = new PreparePool({
      concurrency: limits.prepareConcurrency,
      maxPixels: limits.maxPixelsInFlight,
      agingMs: AGING_MS,
      clock,
    });
    this.#flopsOf = itemFlops(model);
    const [first] = lanes as [DeviceLane, ...DeviceLane[]];
    this.#queue = new EncoderQueue<QueuedWork, Embedding>({
      limits: first.encoder.budgets.limits,
      run: (batch) => this.#run(batch),
      pack: (items) => [...this.#pack(items)],
      windowMs: options.batchWindowMs,
      maxInFlight: lanes.length * BATCHES_IN_FLIGHT,
      // The admission in front of it counts what waits here too.
      maxQueuedItems: Number.POSITIVE_INFINITY,
      agingMs: AGING_MS,
      clock,
    });
    const budgets = new Set(lanes.flatMap(({ encoder }) => encoder.tokenBudgets));
    const failed = new Set(lanes.flatMap(({ encoder }) => encoder.stats().failed_graphs));
    this.#counter = new StatsCounter([...budgets].sort(ascending), [...failed].sort(ascending));
  }

  /**
   * Loads the model on every device, captures, checks and measures; resolves when the engine is ready. All devices must
   * come up: one that is not there is an error of the configuration.
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
      const lanes = await openLanes(model, options, observers, (lane, cause) => {
        if (engine !== undefined) engine.#deviceChanged(lane, cause);
      });
      const [{ device }] = lanes as [DeviceLane];
      const identity = engineIdentity(model, { dtype: device.activationDType, compile });
      engine = new EncoderEngine(model, options, observers, lanes, identity);
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

  /** Calls the observer from now on; the function that comes back ends that. */
  subscribe(observer: EngineObserver): () => void {
    return this.#observers.add(observer);
  }

  /**
   * One outcome for each item, in the items' order. Rejections of single items are VitgraphErrors.
   * @throws (as a rejected promise) VG_QUEUE_FULL, VG_CLOSED, VG_DEVICE_FAILED where no device is left, VG_ABORTED,
   *   VG_DEADLINE_EXCEEDED, VG_ARGUMENT_INVALID: nothing of the call was taken in
   */
  async encode(
    items: readonly EngineItem[],
    { signal, priority = 0, deadline }: EncodeOptions = {},
  ): Promise<PromiseSettledResult<Embedding>[]> {
    this.#checkServing();
    if (!Number.isFinite(priority)) {
      throw new VitgraphError("VG_ARGUMENT_INVALID", `priority is ${priority}`, {
        remedy: "give a finite number, lower for sooner",
      });
    }
    using ticket = new Ticket({ signal, deadline, clock: this.#options.clock });
    const work = this.#call(items, { id: this.#callIds++, ticket, priority, deadline });
    this.#calls.set(work, ticket);
    try {
      return await work;
    } finally {
      this.#calls.delete(work);
    }
  }

  /** What each item will take, without encoding it: of encoded images the header is read. */
  getItemSpecs(items: readonly EngineItem[]): Promise<PromiseSettledResult<ItemSpec>[]> {
    return Promise.allSettled(items.map(async (item) => (await this.#open(item)).spec));
  }

  /** The smallest and the largest token budget that make sense for this model: what vLLM infers budgets from. */
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
      devices: this.#lanes.map(({ device: { info }, state, batches, cause }) => ({
        backend: info.backend,
        name: info.name,
        state,
        batches,
        ...(cause === undefined ? {} : { error: cause.message }),
      })),
      output_cache: this.#cache?.stats() ?? null,
      grid_cache: sumOf(this.#lanes.map(({ encoder }) => encoder.stats().grid_cache)),
    };
  }

  /** Resolves when everything that was taken in so far has been answered. Calls are taken all the while. */
  async drain(): Promise<void> {
    await Promise.allSettled([...this.#calls.keys(), this.#queue.drain()]);
  }

  /**
   * Takes no more calls, finishes what it has (or gives it up), and gives back the encoders, the devices and the model
   * that it made. Resolves when that is done; a second call waits for the first.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close();
    if (options.abort) this.#giveUp();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (this.#state !== "failed") this.#enter("draining");
    await this.drain();
    await Promise.all([this.#queue.close(), this.#pool.idle()]);
    const closed = await Promise.allSettled(this.#lanes.map((lane) => lane.close()));
    if (this.#ownsModel) await this.model[Symbol.asyncDispose]();
    this.#enter("closed");
    for (const outcome of closed) if (outcome.status === "rejected") throw outcome.reason;
  }

  #giveUp(): void {
    const error = new VitgraphError("VG_CLOSED", "the engine was closed before the item was done", {
      remedy: "send it to another engine",
    });
    for (const ticket of this.#calls.values()) ticket.end(error);
    void this.#queue.abort();
  }

  /** Admits, answers, and tells the observers. */
  async #call(items: readonly EngineItem[], call: Call): Promise<PromiseSettledResult<Embedding>[]> {
    const { id } = call;
    const startedAt = this.#now();
    this.#observers.callStarted({ id, items: items.length });
    this.#observers.itemsArrived(items.length);
    let places: readonly Place[] = [];
    let fulfilled = 0;
    try {
      places = this.#admission.enter(items.length);
      const sources = await this.#findAll(items, places, call);
      const outcomes = await Promise.all(
        sources.map((source, index) => this.#settle(source, places[index] as Place, call)),
      );
      fulfilled = outcomes.filter(({ status }) => status === "fulfilled").length;
      return outcomes;
    } catch (error) {
      for (const _ of items) this.#settled("refused", error);
      throw error;
    } finally {
      for (const place of places) place.leave();
      const wallMs = this.#now() - startedAt;
      this.#observers.callEnded({
        id,
        items: items.length,
        fulfilled,
        rejected: items.length - fulfilled,
        wallMs,
      });
    }
  }

  /** What is known of each item before any work on it. @throws where the call has no room: its tokens are known only here */
  async #findAll(items: readonly EngineItem[], places: readonly Place[], { ticket }: Call) {
    const sources = await Promise.allSettled(items.map((item) => ticket.race(this.#find(item))));
    const sized = sources.flatMap((source, index) => {
      if (source.status === "rejected" || source.value.kind === "hit") return [];
      return [{ place: places[index] as Place, tokens: source.value.opened.spec.outputTokens }];
    });
    this.#admission.count(sized);
    return sources;
  }

  /** One item's outcome; never rejects. */
  async #settle(
    source: PromiseSettledResult<Found>,
    place: Place,
    call: Call,
  ): Promise<PromiseSettledResult<Embedding>> {
    const answer: Answer = { source: "refused" };
    try {
      if (source.status === "rejected") throw source.reason;
      const value = await call.ticket.race(this.#answer({ ...source.value, place }, call, answer));
      this.#settled(answer.source);
      return { status: "fulfilled", value };
    } catch (cause) {
      const reason = toVitgraphError(cause, "VG_INTERNAL", "the item could not be encoded");
      this.#settled(answer.source, reason);
      return { status: "rejected", reason };
    } finally {
      place.leave();
    }
  }

  #settled(source: ItemSettled["source"], error?: unknown): void {
    if (error === undefined) {
      this.#observers.itemSettled({ outcome: "fulfilled", source });
      return;
    }
    this.#counter.failed(1);
    const code = VitgraphError.is(error) ? error.code : "VG_INTERNAL";
    this.#observers.itemSettled({ outcome: "rejected", code, source });
  }

  /** The embedding, where the uuid is known; otherwise the item's size, and how to make it ready. */
  async #find(item: EngineItem): Promise<Found> {
    const key = item?.uuid === undefined ? undefined : uuidKey(item.uuid);
    const hit = key === undefined ? undefined : this.#cache?.get(key);
    if (hit !== undefined) return { kind: "hit", embedding: hit };
    return { kind: "opened", opened: await this.#open(item), key };
  }

  #open(item: EngineItem): Promise<OpenedItem> {
    return openItem(item, this.model, { maxPixels: this.#options.limits.maxPixels });
  }

  /** Answers from the cache, or encodes. Where several ask for the same at once, one encodes for all. */
  async #answer(
    work: Found & { readonly place: Place },
    { id: call, ticket, priority, deadline }: Call,
    answer: Answer,
  ): Promise<Embedding> {
    const cache = this.#cache;
    if (work.kind === "hit") {
      answer.source = "output_cache";
      return work.embedding;
    }
    const { opened, key, place } = work;
    const { signal } = ticket;
    const encode = async (prepared: Prepared<PreparedItem>, options: SubmitOptions): Promise<Embedding> => {
      using _room = prepared;
      const started = () => {
        answer.source = "device";
        place.leave();
      };
      return this.#queue.submit({ call, item: prepared.value.item, started }, opened.spec, {
        priority,
        ...options,
      });
    };
    if (cache === undefined) {
      const prepared = await this.#prepare(opened, priority, signal, false);
      return encode(prepared, { signal, ...(deadline === undefined ? {} : { deadline }) });
    }
    // A flight is everybody's who joined it: it ends with the last of them, not with this caller's deadline.
    if (key !== undefined) {
      answer.source = "output_cache";
      return cache.share(
        key,
        async (flight) => {
          answer.source = "refused";
          return encode(await this.#prepare(opened, priority, flight, false), { signal: flight });
        },
        signal,
      );
    }
    const prepared = await this.#prepare(opened, priority, signal, true);
    let encoding = false;
    try {
      answer.source = "output_cache";
      return await cache.share(
        prepared.value.key as string,
        (flight) => {
          encoding = true;
          answer.source = "refused";
          return encode(prepared, { signal: flight });
        },
        signal,
      );
    } finally {
      if (!encoding) prepared[Symbol.dispose]();
    }
  }

  /** Decodes, resizes, and makes the key if one is wanted: in the pool, unless there is nothing to do. */
  async #prepare(
    opened: OpenedItem,
    priority: number,
    signal: AbortSignal,
    withKey: boolean,
  ): Promise<Prepared<PreparedItem>> {
    const { kind, pixels, keptPixels } = opened;
    if (kind === "ready" && !withKey)
      return { value: { item: await opened.prepare() }, [Symbol.dispose]() {} };
    const work = async (): Promise<PreparedItem> => {
      const startedAt = this.#now();
      const item = await opened.prepare();
      const prepared = withKey ? { item, key: await contentKey(item, this.#identity) } : { item };
      if (kind !== "ready") this.#observers.prepared({ durationMs: this.#now() - startedAt, kind });
      return prepared;
    };
    return this.#pool.run({ pixels, keptPixels, work }, { priority, signal });
  }

  /**
   * The batches that the queue chooses from. Where several devices are idle, a burst is shared out among them by its
   * arithmetic, and this is the share of the first in the order; the others' turn comes with the next batch.
   */
  #pack(waiting: readonly ItemSpec[]): readonly Batch[] {
    const items = waiting.slice(0, MOST_PACKED_ITEMS);
    const lane =
      leastBy(this.#available(), ({ outstandingMs }) => outstandingMs) ?? (this.#lanes[0] as DeviceLane);
    const idle = this.#lanes.filter(({ isIdle }) => isIdle).length;
    const pack = (wanted: (index: number) => boolean) =>
      packSome(
        items,
        (_, index) => wanted(index),
        (chosen) => lane.pack(chosen),
      );
    if (idle > 1 && items.length > 1) {
      const share = this.#shareOfFirst(items, idle);
      return pack((index) => share.has(index));
    }
    const whole = lane.pack(items);
    if (this.#options.packing !== "cost" || idle === 0 || whole.length > 1 || items.length < 2) return whole;
    // All that waits would run at once, and the device would stand idle while its results leave and its callers come
    // back. In two parts, one computes meanwhile.
    const share = this.#shareOfFirst(items, 2);
    const part = pack((index) => share.has(index));
    const rest = pack((index) => !share.has(index));
    const cost = (batches: readonly Batch[]) =>
      batches.reduce((sum, { outputTokens, budget }) => sum + lane.costOf(outputTokens, budget), 0);
    return cost(part) + cost(rest) <= MOST_SPLIT_COST * cost(whole) ? part : whole;
  }

  /** Those of the items that go along with the first, where all of them are dealt out to so many ranks. */
  #shareOfFirst(items: readonly ItemSpec[], ranks: number): ReadonlySet<number> {
    const { order, counts } = assignRanksByCost(items, ranks, this.#flopsOf);
    return shareOf(0, order, counts);
  }

  /** Devices that take a batch: those with room, or, where none has, those that are up. */
  #available(): readonly DeviceLane[] {
    const withRoom = this.#lanes.filter(({ hasRoom }) => hasRoom);
    return withRoom.length > 0 ? withRoom : this.#lanes.filter(({ state }) => state === "up");
  }

  /** Runs a batch where it will be done first. */
  async #run({ items, outputTokens, budget: packed }: QueueBatch<QueuedWork>) {
    for (const { payload } of items) payload.started();
    const finish = (lane: DeviceLane) => lane.outstandingMs + lane.costOf(outputTokens, packed);
    const lane = leastBy(this.#available(), finish);
    if (lane === undefined) throw this.#failure ?? noDeviceLeft(this.#lanes);
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
    const up = this.#lanes.filter(({ state }) => state === "up").length;
    const lost = this.#lanes.every(({ state }) => state === "down");
    if (lost) {
      this.#failure = noDeviceLeft(this.#lanes);
      if (this.#state === "ready") this.#enter("failed", this.#failure);
    }
    // While none is up but one may come back, what waits is held; when none will, it is let through to be refused.
    this.#queue.maxInFlight = lost ? 1 : up * BATCHES_IN_FLIGHT;
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

/** What the queue holds of an item. */
interface QueuedWork {
  /** The call that it is of. */
  readonly call: number;
  readonly item: EncoderItem;
  /** Called when its batch starts. */
  readonly started: () => void;
}

interface Call {
  readonly id: number;
  readonly ticket: Ticket;
  readonly priority: number;
  readonly deadline: number | undefined;
}

/** How far an item got: who answered it, or would have. */
interface Answer {
  source: ItemSettled["source"];
}

type Found =
  | { readonly kind: "hit"; readonly embedding: Embedding }
  | { readonly kind: "opened"; readonly opened: OpenedItem; readonly key: string | undefined };

interface PreparedItem {
  readonly item: EncoderItem;
  /** Of its content; where it was asked for. */
  readonly key?: string;
}

/** All devices, or none: where one can't be made, the others are given back. */
async function openLanes(
  model: LoadedModel,
  options: ResolvedEngineOptions,
  observers: ObserverList,
  onChange: (lane: DeviceLane, cause?: unknown) => void,
): Promise<readonly DeviceLane[]> {
  const progress = new LoadProgress(options, () => observers.stateChanged("warming"));
  const opening = options.devices.map((source, index) => {
    let first = true;
    const open = async () => {
      const onProgress = first ? { onProgress: progress.of(index) } : {};
      first = false;
      const opened = await openDevice(index, source, model, options, {
        ...onProgress,
        onGraphsCaptured: (captured) => observers.graphsCaptured({ device: index, ...captured }),
        onGraphFailure: (failure) => observers.graphFailed({ device: index, ...failure }),
        onGridMiss: (frames) => observers.gridsMissed({ device: index, frames }),
      });
      const cache = opened.encoder.stats().grid_cache;
      if (cache !== null && cache.entries > 0) observers.gridsWarmed({ device: index, ...cache });
      return opened;
    };
    return DeviceLane.open({ index, open, clock: options.clock, onChange });
  });
  const outcomes = await Promise.allSettled(opening);
  const lanes = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  try {
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    checkOneDType(lanes);
    return lanes;
  } catch (error) {
    await Promise.allSettled(lanes.map((lane) => lane.close()));
    throw error;
  }
}

/** Or an item's dtype would depend on which device was free. */
function checkOneDType(lanes: readonly DeviceLane[]): void {
  const [first, ...others] = lanes as [DeviceLane, ...DeviceLane[]];
  const other = others.find(({ device }) => device.activationDType !== first.device.activationDType);
  if (other === undefined) return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `device 0 computes in ${first.device.activationDType}, and device ${other.index} in ${other.device.activationDType}`,
    { remedy: "give one engine devices of one kind", details: { device: other.index } },
  );
}

/** The weights of all devices as one bar; `onLoaded` when the last of them has its own. */
class LoadProgress {
  readonly #bars: { done: number; total: number }[];
  readonly #onProgress: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly #onLoaded: () => void;
  #loaded = false;

  constructor({ devices, onProgress }: ResolvedEngineOptions, onLoaded: () => void) {
    this.#bars = devices.map(() => ({ done: 0, total: Number.POSITIVE_INFINITY }));
    this.#onProgress = onProgress;
    this.#onLoaded = onLoaded;
  }

  of(index: number): (doneBytes: number, totalBytes: number) => void {
    return (done, total) => {
      this.#bars[index] = { done, total };
      const started = this.#bars.filter((bar) => Number.isFinite(bar.total));
      const sum = (key: "done" | "total") => started.reduce((all, bar) => all + bar[key], 0);
      this.#onProgress?.(sum("done"), sum("total"));
      if (this.#loaded || !this.#bars.every((bar) => bar.done === bar.total)) return;
      this.#loaded = true;
      this.#onLoaded();
    };
  }
}

/** Of all devices; null where none has a cache. */
function sumOf(caches: readonly (GridCacheStats | null)[]): GridCacheStats | null {
  const [first, ...others] = caches.filter((cache) => cache !== null);
  if (first === undefined) return null;
  const sum = { ...first };
  for (const cache of others) {
    for (const name of Object.keys(sum) as (keyof GridCacheStats)[]) sum[name] += cache[name];
  }
  return sum;
}

function noDeviceLeft(lanes: readonly DeviceLane[]): VitgraphError {
  const causes = lanes.map(
    ({ index, device, cause }) =>
      `device ${index} (${device.info.name}): ${cause?.fact ?? "no cause is known"}`,
  );
  return new VitgraphError("VG_DEVICE_FAILED", `the engine has no device left: ${causes.join("; ")}`, {
    remedy: "close it, see `vitgraph doctor`, and create a new one when the devices work again",
    cause: lanes.find(({ cause }) => cause !== undefined)?.cause,
  });
}

/** An answer that is NaN is one: its batch ran. */
function wasComputed(outcome: PromiseSettledResult<Embedding>): boolean {
  return outcome.status === "fulfilled" || outcome.reason.code === "VG_OUTPUT_NOT_FINITE";
}

/** The members of one rank. */
function shareOf(item: number, order: readonly number[], counts: readonly number[]): ReadonlySet<number> {
  let start = 0;
  for (const count of counts) {
    const members = order.slice(start, start + count);
    if (members.includes(item)) return new Set(members);
    start += count;
  }
  return new Set([item]);
}

function leastBy<T>(values: readonly T[], measure: (value: T) => number): T | undefined {
  let least: T | undefined;
  for (const value of values) if (least === undefined || measure(value) < measure(least)) least = value;
  return least;
}

const ascending = (a: number, b: number) => a - b;
