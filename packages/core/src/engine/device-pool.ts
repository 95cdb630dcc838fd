/**
 * The devices of an engine: opened and closed together; each batch gets one of them.
 *
 * Packing is here too, since it depends on the number of idle devices: a burst is split among them.
 */
import { VitgraphError } from "@vitgraph/errors";
import { assignRanksByCost, type Batch, type ItemSpec, type Packable } from "@vitgraph/scheduler";
import type { LoadedModel } from "../models/load-model.js";
import type { ObserverList } from "../observability/observer.js";
import type { GridCacheStats } from "../runtime/grid-cache.js";
import type { PackingRule } from "../runtime/packing.js";
import { StatsCounter } from "../runtime/stats.js";
import { itemFlops } from "./cost-model.js";
import { DeviceWorker } from "./device-worker.js";
import type { ResolvedEngineOptions } from "./engine-options.js";
import type { DeviceStats } from "./engine-stats.js";
import { openDevice } from "./open-device.js";

/**
 * Split a batch that would drain the queue if the two halves cost at most 1.2× the whole; otherwise the device idles
 * while results are copied back and callers return. With small images that takes as long as computing.
 */
const MAX_SPLIT_COST = 1.2;
/** It is not split if the batches in flight cost at least this share of it: they keep the device busy meanwhile. */
const MIN_IN_FLIGHT = 1 / 3;

/**
 * How long before its device runs dry a batch is started, to be staged, uploaded and launched in time: a constant plus a
 * share of its cost. (27 images of 640 × 480 take 15 ms to prepare and 56 to compute.)
 */
const LEAD = { ms: 1, ofCost: 0.25 };

export class DevicePool {
  readonly workers: readonly [DeviceWorker, ...DeviceWorker[]];
  readonly #packing: PackingRule;
  readonly #flopsOf: (spec: ItemSpec) => number;

  private constructor(
    model: LoadedModel,
    packing: PackingRule,
    workers: readonly [DeviceWorker, ...DeviceWorker[]],
  ) {
    this.workers = workers;
    this.#packing = packing;
    this.#flopsOf = itemFlops(model);
  }

  /** Opens all devices. If one fails, closes the others. */
  static async open(
    model: LoadedModel,
    options: ResolvedEngineOptions,
    observers: ObserverList,
    onChange: (worker: DeviceWorker, cause?: unknown) => void,
  ): Promise<DevicePool> {
    const workers = await openWorkers(model, options, observers, onChange);
    return new DevicePool(model, options.packing, workers as readonly [DeviceWorker, ...DeviceWorker[]]);
  }

  /** Number of devices that are up. */
  get up(): number {
    return this.workers.filter(({ state }) => state === "up").length;
  }

  /** The device that would finish a batch first; undefined if none is up. */
  pick(tokens: number, budget: number | null): DeviceWorker | undefined {
    return leastBy(this.#available(), (worker) => worker.outstandingMs + worker.costOf(tokens, budget));
  }

  /**
   * The batches that the queue chooses from. If several devices are idle, the items are divided among them by FLOPs.
   * These are the batches of the first item's share; the other shares follow with the next batches.
   */
  pack<T extends Packable>(items: readonly T[]): readonly Batch<T>[] {
    const worker = leastBy(this.#available(), ({ outstandingMs }) => outstandingMs) ?? this.workers[0];
    const idle = this.workers.filter(({ isIdle }) => isIdle).length;
    const packOnly = (isChosen: (item: T) => boolean) => worker.pack(items.filter(isChosen));
    if (idle > 1 && items.length > 1) {
      const share = this.#shareOfFirst(items, idle);
      return packOnly((item) => share.has(item));
    }
    const whole = worker.pack(items);
    if (this.#packing !== "cost" || whole.length > 1 || items.length < 2) return whole;
    const cost = (batches: readonly Batch<T>[]) =>
      batches.reduce((sum, { tokens, budget }) => sum + worker.costOf(tokens, budget), 0);
    if (worker.outstandingMs >= MIN_IN_FLIGHT * cost(whole)) return whole;
    const half = this.#shareOfFirst(items, 2);
    const first = packOnly((item) => half.has(item));
    const second = packOnly((item) => !half.has(item));
    return cost(first) + cost(second) <= MAX_SPLIT_COST * cost(whole) ? first : whole;
  }

  /**
   * How many milliseconds a batch of these tokens can wait for more items before a device runs dry. Started earlier, it
   * would be smaller, and small batches cost more per token, on the device and on JavaScript's thread.
   */
  slackMs(tokens: number): number {
    const slacks = this.#available().map(
      (worker) => worker.busyMs - LEAD.ms - LEAD.ofCost * worker.leastCostOf(tokens),
    );
    return slacks.length === 0 ? 0 : Math.max(0, Math.min(...slacks));
  }

  /** The items on the first item's rank, when all items are assigned to this many ranks. */
  #shareOfFirst<T extends Packable>(items: readonly T[], ranks: number): ReadonlySet<T> {
    const shares = assignRanksByCost(items, ranks, this.#flopsOf);
    return new Set(shares.find((share) => share.includes(items[0] as T)));
  }

  /** Devices with room for a batch; if there are none, those that are up. */
  #available(): readonly DeviceWorker[] {
    const withRoom = this.workers.filter(({ hasRoom }) => hasRoom);
    return withRoom.length > 0 ? withRoom : this.workers.filter(({ state }) => state === "up");
  }

  stats(): readonly DeviceStats[] {
    return this.workers.map(({ device: { info }, state, batches, memory, cause }) => ({
      backend: info.backend,
      name: info.name,
      state,
      batches,
      memory,
      ...(cause === undefined ? {} : { error: cause.message }),
    }));
  }

  /** A counter for batches of all devices, with the budgets that have a graph on any of them. */
  newCounter(): StatsCounter {
    const encoders = this.workers.map(({ encoder }) => encoder);
    const budgets = new Set(encoders.flatMap(({ tokenBudgets }) => tokenBudgets));
    const failed = new Set(encoders.flatMap((encoder) => encoder.stats().failedGraphs));
    return new StatsCounter([...budgets].sort(ascending), [...failed].sort(ascending));
  }

  /** Statistics of all grid caches together; null if no device has one. */
  gridCacheStats(): GridCacheStats | null {
    return sumOf(this.workers.map(({ encoder }) => encoder.stats().gridCache));
  }

  /** The error for calls when no device is left. */
  lostError(): VitgraphError {
    return noDeviceLeft(this.workers);
  }

  /** One outcome for each device. */
  close(): Promise<PromiseSettledResult<void>[]> {
    return Promise.allSettled(this.workers.map((worker) => worker.close()));
  }
}

async function openWorkers(
  model: LoadedModel,
  options: ResolvedEngineOptions,
  observers: ObserverList,
  onChange: (worker: DeviceWorker, cause?: unknown) => void,
): Promise<readonly DeviceWorker[]> {
  const progress = new LoadProgress(options, () => observers.stateChanged("warming"));
  const opening = options.devices.map((source, index) => {
    let first = true;
    const open = async () => {
      const onProgress = first ? { onProgress: progress.of(index) } : {};
      first = false;
      const opened = await openDevice(source, model, options, {
        ...onProgress,
        onGraphsCaptured: (captured) => observers.graphsCaptured({ device: index, ...captured }),
        onGraphFailure: (failure) => observers.graphFailed({ device: index, ...failure }),
        onGridMiss: (frames) => observers.gridsMissed({ device: index, frames }),
      });
      const cache = opened.encoder.stats().gridCache;
      if (cache !== null && cache.entries > 0) observers.gridsWarmed({ device: index, ...cache });
      return opened;
    };
    return DeviceWorker.open({ index, open, clock: options.clock, onChange });
  });
  const outcomes = await Promise.allSettled(opening);
  const workers = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  try {
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    checkOneDType(workers);
    return workers;
  } catch (error) {
    await Promise.allSettled(workers.map((worker) => worker.close()));
    throw error;
  }
}

/** Different dtypes would make an item's result dtype depend on the free device. */
function checkOneDType(workers: readonly DeviceWorker[]): void {
  const [first, ...others] = workers as [DeviceWorker, ...DeviceWorker[]];
  const other = others.find(({ device }) => device.activationDType !== first.device.activationDType);
  if (other === undefined) return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `device 0 computes in ${first.device.activationDType}, and device ${other.index} in ${other.device.activationDType}`,
    { remedy: "give one engine devices of one kind", details: { device: other.index } },
  );
}

/** Loading progress of all devices as one; `onLoaded` is called when the last one has its weights. */
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

function sumOf(caches: readonly (GridCacheStats | null)[]): GridCacheStats | null {
  const [first, ...others] = caches.filter((cache) => cache !== null);
  if (first === undefined) return null;
  const sum = { ...first };
  for (const cache of others) {
    for (const name of Object.keys(sum) as (keyof GridCacheStats)[]) sum[name] += cache[name];
  }
  return sum;
}

function noDeviceLeft(workers: readonly DeviceWorker[]): VitgraphError {
  const causes = workers.map(
    ({ index, device, cause }) =>
      `device ${index} (${device.info.name}): ${cause?.fact ?? "no cause is known"}`,
  );
  return new VitgraphError("VG_DEVICE_FAILED", `the engine has no device left: ${causes.join("; ")}`, {
    remedy: "close it, see `vitgraph doctor`, and create a new one when the devices work again",
    cause: workers.find(({ cause }) => cause !== undefined)?.cause,
  });
}

function leastBy<T>(values: readonly T[], measure: (value: T) => number): T | undefined {
  let least: T | undefined;
  for (const value of values) if (least === undefined || measure(value) < measure(least)) least = value;
  return least;
}

const ascending = (a: number, b: number) => a - b;
