/** Runs the queue's batches: chooses the device, informs the observers, and counts. */
import { type Batch, budgetTokensOf, type Clock, type QueuedItem } from "@vitgraph/scheduler";
import type { BatchStart, ObserverList } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import type { StatsCounter } from "../runtime/stats.js";
import type { QueuedWork } from "./answer-item.js";
import type { DevicePool } from "./device-pool.js";
import { wasCancelled, wasComputed } from "./device-worker.js";

export interface BatchRunnerOptions {
  readonly devices: DevicePool;
  readonly observers: ObserverList;
  readonly counter: StatsCounter;
  readonly clock: Clock;
}

export class BatchRunner {
  readonly #options: BatchRunnerOptions;
  #batches = 0;

  constructor(options: BatchRunnerOptions) {
    this.#options = options;
  }

  /** Runs a batch on the device that finishes it first. @throws VG_DEVICE_FAILED if no device is up */
  async run(packed: Batch<QueuedItem<QueuedWork>>): Promise<PromiseSettledResult<Embedding>[]> {
    const { devices, observers, counter, clock } = this.#options;
    const { tokens } = packed;
    const works = packed.items.map(({ item }) => item);
    for (const { started } of works) started();
    const worker = devices.pick(tokens, packed.budget);
    if (worker === undefined) throw devices.lostError();
    const budget = worker.encoder.budgetOf(packed.budget);
    const startedAt = clock.now();
    const batch: BatchStart = {
      index: this.#batches++,
      device: worker.index,
      items: works.length,
      tokens,
      budget,
      padding: budget === null ? 0 : 1 - tokens / budget,
      itemTokens: packed.items.map(({ spec }) => budgetTokensOf(spec)),
      queueMs: packed.items.map(({ arrivedAt }) => startedAt - arrivedAt),
      calls: [...new Set(works.map(({ call }) => call))],
    };
    observers.batchStarted(batch);
    const outcomes = await worker.run(
      works.map(({ item }) => item),
      tokens,
      packed.budget,
      // A batch of several items serves several callers.
      works.length === 1 ? works[0]?.signal : undefined,
    );
    const first = outcomes.find((outcome) => outcome.status === "fulfilled");
    const ran = outcomes.some(wasComputed);
    if (ran) counter.batch(works.length, tokens, budget);
    observers.batchEnded({
      ...batch,
      deviceMs: first?.value.batch.durationMs ?? 0,
      wallMs: clock.now() - startedAt,
      outcome: ran ? "ok" : outcomes.every(wasCancelled) ? "cancelled" : "failed",
    });
    return outcomes;
  }
}
