/**
 * The traffic of an engine, for the live page: the last batches and times, and a count for each size. It observes the
 * engine with bounded memory, and its work for a batch does not depend on whether the page is open.
 */
import type { BatchEvent, CacheFigures, EngineFigures, EngineObserver } from "@vitgraph/core/observability";
import type { CacheUse, DeviceUse, LiveMessage, Percentiles, ShownBatch, SizeSeen } from "./page-state.js";

/** Batches that the page shows. */
const BATCHES = 64;
/** Most recent values, of which the percentiles are computed. */
const VALUES = 512;
/** Most different sizes. The page's budget planner takes time by their square: half a second for this many. */
const SIZES = 640;

/**
 * The traffic that the live page shows, in bounded memory. An observer: give it to the engine and to `createServer`.
 */
export class RecentTraffic implements EngineObserver {
  readonly #batches: ShownBatch[] = [];
  readonly #deviceMs = new LastValues();
  readonly #queueMs = new LastValues();
  readonly #callMs = new LastValues();
  #sizes = new Map<number, number>();
  /** Different sizes counted between n and 2n tokens: unlimited until there are too many. */
  #steps = Number.POSITIVE_INFINITY;
  #state = "loading";
  #count = 0;
  #items = 0;
  #tokens = 0;
  #budgetTokens = 0;
  #budgetedTokens = 0;
  #figures: (() => EngineFigures) | undefined;

  watch(figures: () => EngineFigures): void {
    this.#figures = figures;
  }

  stateChanged(state: string): void {
    this.#state = state;
  }

  callEnded({ wallMs }: { readonly wallMs: number }): void {
    this.#callMs.add(wallMs);
  }

  batchEnded(event: BatchEvent): void {
    const { device, items, tokens, budget, itemTokens, queueMs, deviceMs, outcome } = event;
    this.#count += 1;
    const longest = queueMs.reduce((most, waitedMs) => Math.max(most, waitedMs), 0);
    this.#batches.push({
      number: this.#count,
      device,
      items,
      tokens,
      budget,
      deviceMs,
      queueMs: longest,
      outcome,
    });
    if (this.#batches.length > BATCHES) this.#batches.shift();
    for (const waitedMs of queueMs) this.#queueMs.add(waitedMs);
    if (outcome !== "ok") return;
    this.#deviceMs.add(deviceMs);
    this.#items += items;
    this.#tokens += tokens;
    if (budget !== null) {
      this.#budgetTokens += budget;
      this.#budgetedTokens += tokens;
    }
    for (const each of itemTokens) this.#countSize(each, 1);
  }

  #countSize(tokens: number, weight: number): void {
    const size = roundedUp(tokens, this.#steps);
    this.#sizes.set(size, (this.#sizes.get(size) ?? 0) + weight);
    if (this.#sizes.size <= SIZES) return;
    this.#steps = Math.min(this.#steps / 2, SIZES / 4);
    const finer = this.#sizes;
    this.#sizes = new Map();
    for (const [known, count] of finer) this.#countSize(known, count);
  }

  /** The engine's budgets, ascending; none before it has started. */
  get tokenBudgets(): readonly number[] {
    return this.#figures?.().tokenBudgets ?? [];
  }

  /** Ascending. */
  sizes(): SizeSeen[] {
    return [...this.#sizes]
      .map(([tokens, weight]) => ({ tokens, weight }))
      .sort((a, b) => a.tokens - b.tokens);
  }

  /**
   * A message to the page: the state, the totals and the newest batches.
   * @param since number of the last batch that the reader has; only the last 64 batches are kept
   */
  message(since: number): LiveMessage {
    const figures = this.#figures?.();
    return {
      state: this.#state,
      batches: this.#batches.filter(({ number }) => number > since),
      totals: {
        batches: this.#count,
        items: this.#items,
        tokens: this.#tokens,
        budgetTokens: this.#budgetTokens,
        budgetedTokens: this.#budgetedTokens,
      },
      queue: { items: figures?.queue.items ?? 0, tokens: figures?.queue.tokens ?? 0 },
      times: {
        deviceMs: this.#deviceMs.percentiles(),
        queueMs: this.#queueMs.percentiles(),
        callMs: this.#callMs.percentiles(),
      },
      caches: { output: cacheUse(figures?.outputCache), grid: cacheUse(figures?.gridCache) },
      devices: figures?.devices.map(deviceUse) ?? [],
    };
  }
}

/** Rounds up, so that a budget of the result holds the item, by less than a share of 1 / `steps`. */
function roundedUp(tokens: number, steps: number): number {
  const unit = 2 ** Math.max(0, Math.floor(Math.log2(tokens / steps)));
  return Math.ceil(tokens / unit) * unit;
}

class LastValues {
  readonly #values: number[] = [];
  #next = 0;

  add(value: number): void {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % VALUES;
  }

  percentiles(): Percentiles | null {
    if (this.#values.length === 0) return null;
    const ascending = Float64Array.from(this.#values).sort();
    const at = (share: number) => ascending[Math.ceil(share * ascending.length) - 1] as number;
    return { p50: at(0.5), p99: at(0.99) };
  }
}

function cacheUse(figures: CacheFigures | null | undefined): CacheUse | null {
  if (figures === null || figures === undefined) return null;
  const { hits, misses, bytes, capacityBytes } = figures;
  return { hits, misses, bytes, capacityBytes };
}

function deviceUse({ name, state, memory }: EngineFigures["devices"][number], index: number): DeviceUse {
  const isKnown = memory !== undefined && memory !== null && Number.isFinite(memory.totalBytes);
  return {
    name: name ?? `device ${index}`,
    state,
    memory: isKnown
      ? { usedBytes: memory.totalBytes - memory.freeBytes, totalBytes: memory.totalBytes }
      : null,
  };
}
