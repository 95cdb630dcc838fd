/**
 * The devices of an engine: opened together, chosen from for each batch, and given back together.
 *
 * Packing is here too, since it depends on how many devices are idle: a burst is shared out among them.
 */
import { VitgraphError } from "@vitgraph/errors";
import { assignRanksByCost, type Batch, type ItemSpec } from "@vitgraph/scheduler";
import type { LoadedModel } from "../models/load-model.js";
import type { ObserverList } from "../observability/observer.js";
import type { GridCacheStats } from "../runtime/grid-cache.js";
import { DeviceLane } from "./device-lane.js";
import type { ResolvedEngineOptions } from "./engine-options.js";
import { openDevice } from "./open-device.js";
import { type PackingRule, packSome } from "./packing.js";
import { itemFlops } from "./replay-costs.js";

/** Items among which a batch is chosen: enough to choose from, few enough to pack in a millisecond or two. */
const MOST_PACKED_ITEMS = 128;
/**
 * Split a batch that would drain the queue if the two halves cost at most 1.2× the whole; otherwise the device idles
 * while results are copied back and callers return. With small images that takes as long as computing.
 */
const MOST_SPLIT_COST = 1.2;

export class DevicePool {
  readonly lanes: readonly [DeviceLane, ...DeviceLane[]];
  readonly #packing: PackingRule;
  readonly #flopsOf: (spec: ItemSpec) => number;

  private constructor(
    model: LoadedModel,
    packing: PackingRule,
    lanes: readonly [DeviceLane, ...DeviceLane[]],
  ) {
    this.lanes = lanes;
    this.#packing = packing;
    this.#flopsOf = itemFlops(model);
  }

  /** Opens all devices, or none: if one fails, the others are given back. */
  static async open(
    model: LoadedModel,
    options: ResolvedEngineOptions,
    observers: ObserverList,
    onChange: (lane: DeviceLane, cause?: unknown) => void,
  ): Promise<DevicePool> {
    const lanes = await openLanes(model, options, observers, onChange);
    return new DevicePool(model, options.packing, lanes as readonly [DeviceLane, ...DeviceLane[]]);
  }

  /** Devices that are up. */
  get up(): number {
    return this.lanes.filter(({ state }) => state === "up").length;
  }

  /** The device on which a batch is done first; undefined if none is up. */
  pick(tokens: number, budget: number | null): DeviceLane | undefined {
    return leastBy(this.#available(), (lane) => lane.outstandingMs + lane.costOf(tokens, budget));
  }

  /**
   * The batches that the queue chooses from. If several devices are idle, a burst is shared out among them by its
   * arithmetic, and these are the batches of the first item's share; the other shares follow with the next batches.
   */
  pack(waiting: readonly ItemSpec[]): readonly Batch[] {
    const items = waiting.slice(0, MOST_PACKED_ITEMS);
    const lane = leastBy(this.#available(), ({ outstandingMs }) => outstandingMs) ?? this.lanes[0];
    const idle = this.lanes.filter(({ isIdle }) => isIdle).length;
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
    if (this.#packing !== "cost" || idle === 0 || whole.length > 1 || items.length < 2) return whole;
    const share = this.#shareOfFirst(items, 2);
    const part = pack((index) => share.has(index));
    const rest = pack((index) => !share.has(index));
    const cost = (batches: readonly Batch[]) =>
      batches.reduce((sum, { outputTokens, budget }) => sum + lane.costOf(outputTokens, budget), 0);
    return cost(part) + cost(rest) <= MOST_SPLIT_COST * cost(whole) ? part : whole;
  }

  /** The items on the first one's rank, if all are dealt out to this many ranks. */
  #shareOfFirst(items: readonly ItemSpec[], ranks: number): ReadonlySet<number> {
    const { order, counts } = assignRanksByCost(items, ranks, this.#flopsOf);
    return shareOf(0, order, counts);
  }

  /** Devices with room for a batch; if there are none, those that are up. */
  #available(): readonly DeviceLane[] {
    const withRoom = this.lanes.filter(({ hasRoom }) => hasRoom);
    return withRoom.length > 0 ? withRoom : this.lanes.filter(({ state }) => state === "up");
  }

  /** Of all devices; null if none has a grid cache. */
  gridCacheStats(): GridCacheStats | null {
    return sumOf(this.lanes.map(({ encoder }) => encoder.stats().grid_cache));
  }

  /** Why no device is left. */
  lostError(): VitgraphError {
    return noDeviceLeft(this.lanes);
  }

  /** One outcome for each device. */
  close(): Promise<PromiseSettledResult<void>[]> {
    return Promise.allSettled(this.lanes.map((lane) => lane.close()));
  }
}

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

/** Otherwise an item's dtype would depend on which device was free. */
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
