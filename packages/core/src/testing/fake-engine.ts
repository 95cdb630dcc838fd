/**
 * An engine without a model, for tests of code that calls an engine. It answers at once, with rows that identify their
 * item, and records all calls.
 */
import type { BudgetRange } from "@vitgraph/config";
import { VitgraphError } from "@vitgraph/errors";
import { type Grid, type ItemSpec, itemSpecOfGrid } from "@vitgraph/scheduler";
import type { EngineItem } from "../engine/engine-item.js";
import type { EncodeOptions } from "../engine/engine-options.js";
import { embeddingColumns } from "../models/vision-model.js";
import { type EngineFigures, type EngineObserver, ObserverList } from "../observability/observer.js";
import type { EncoderEngineLike } from "../plugin/engine-like.js";
import { Embedding } from "../runtime/embedding.js";
import { StatsCounter } from "../runtime/stats.js";

/** The fake model's columns, and observers of the engine. */
export interface FakeEngineOptions {
  /** Columns of the merged embedding and of each deepstack level. Default: [8, 8]. */
  readonly outputColumns?: readonly number[];
  readonly observers?: readonly EngineObserver[];
}

/** An item of one token that {@link FakeEngine} answers with rows of `value`. It refuses NaN. */
export function fakeItem(value: number): EngineItem {
  return { pixel_values: Float32Array.of(value), grid_thw: [1, 2, 2] };
}

/** An engine without a model or a device, for tests of hosts and servers: it records calls and answers `fakeItem`. */
export class FakeEngine implements EncoderEngineLike {
  readonly model: { readonly vision: { readonly outputColumns: readonly number[] } };
  /** All calls of `encode`, in order, including those after `close`. */
  readonly calls: { readonly items: readonly EngineItem[]; readonly options: EncodeOptions }[] = [];
  readonly #observers: ObserverList;
  #release: (() => void) | undefined;
  #held: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #counter = new StatsCounter([64], []);
  #batches = 0;

  constructor({ outputColumns = [8, 8], observers = [] }: FakeEngineOptions = {}) {
    this.model = { vision: { outputColumns } };
    this.#observers = new ObserverList(observers);
    this.#observers.watch(() => this.stats());
    this.#observers.stateChanged("ready");
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Adds an observer. Returns a function that removes it. */
  subscribe(observer: EngineObserver): () => void {
    return this.#observers.add(observer);
  }

  /** Delays all answers until {@link release}. A call whose signal aborts meanwhile fails with VG_ABORTED. */
  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  /** Lets the answers that {@link hold} delays continue. */
  release(): void {
    this.#release?.();
  }

  async encode(
    items: readonly EngineItem[],
    options: EncodeOptions = {},
  ): Promise<PromiseSettledResult<Embedding>[]> {
    this.calls.push({ items, options });
    if (this.#closed) {
      throw new VitgraphError("VG_CLOSED", "the engine is closed", {
        remedy: "send the call to one that is open",
      });
    }
    this.#observers.itemsArrived(items.length);
    const { signal } = options;
    await Promise.race([this.#held, aborted(signal)]);
    const batch = this.#runBatch(items.length);
    return Promise.allSettled(items.map(async (item) => this.#embed(item, batch, signal)));
  }

  getItemSpecs(items: readonly EngineItem[]): Promise<PromiseSettledResult<ItemSpec>[]> {
    return Promise.allSettled(items.map(async (item) => itemSpecOfGrid(gridOf(item), 2)));
  }

  budgetRange(): BudgetRange {
    return { min: 64, max: 16_384 };
  }

  stats(): EngineFigures {
    return {
      ...this.#counter.snapshot(),
      queue: { items: 0, tokens: 0 },
      devices: [{ state: "up" }],
      outputCache: null,
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#observers.stateChanged("closed");
  }

  #runBatch(items: number): Embedding["batch"] {
    const fields = { index: this.#batches++, items, tokens: items, budget: 64, padding: 1 - items / 64 };
    const each = (value: number) => Array.from({ length: items }, () => value);
    const start = { ...fields, device: 0, itemTokens: each(1), queueMs: each(0) };
    this.#counter.batch(items, items, 64);
    this.#observers.batchStarted(start);
    this.#observers.batchEnded({ ...start, deviceMs: 1, wallMs: 1, outcome: "ok" });
    return { ...fields, durationMs: 1 };
  }

  #embed(item: EngineItem, batch: Embedding["batch"], signal: AbortSignal | undefined): Embedding {
    if (signal?.aborted)
      throw new VitgraphError("VG_ABORTED", "the call was cancelled", { cause: signal.reason });
    const grid = gridOf(item);
    const value = "pixel_values" in item ? (item.pixel_values[0] as number) : 0;
    if (Number.isNaN(value)) {
      throw new VitgraphError("VG_ITEM_INVALID", "the item's pixel values are NaN", {
        remedy: "pass numbers",
      });
    }
    const tokens = (grid.t * grid.h * grid.w) / 4;
    const columns = embeddingColumns(this.model.vision);
    const { buffer } = new Float32Array(tokens * columns).fill(value);
    return new Embedding({
      grid,
      tokens,
      columns,
      dtype: "f32",
      bytes: new Uint8Array(buffer),
      batch,
    });
  }
}

/** An item without patches counts as one token. */
function gridOf(item: EngineItem): Grid {
  const [t, h, w] = "grid_thw" in item ? item.grid_thw : [1, 2, 2];
  return { t, h, w };
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve();
    else signal?.addEventListener("abort", () => resolve(), { once: true });
  });
}
