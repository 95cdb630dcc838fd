/** An engine's log lines and their levels. With `verbose`, the lines of `encoder_cudagraph_verbose` as information. */
import { graphStatistics } from "../runtime/stats.js";
import type { Logger } from "./logger.js";
import type {
  BatchEvent,
  DeviceChanged,
  EngineFigures,
  EngineObserver,
  EngineState,
  GraphFailed,
  GraphsCaptured,
  GridsMissed,
  GridsWarmed,
  ItemSettled,
} from "./observer.js";
import {
  batchLine,
  embeddingCacheMissLine,
  embeddingCacheWarmedLine,
  graphStatsLine,
  graphsCapturedLine,
} from "./verbose-lines.js";

/** Options of `EngineLog`. */
export interface EngineLogOptions {
  readonly logger: Logger;
  /** `encoder_cudagraph_verbose`: a line per batch, and the statistics at the end, at level info. */
  readonly verbose?: boolean;
}

/** Writes an engine's events as lines of a logger. An observer. */
export class EngineLog implements EngineObserver {
  readonly #logger: Logger;
  readonly #verbose: boolean;
  #stats: (() => EngineFigures) | undefined;

  constructor({ logger, verbose = false }: EngineLogOptions) {
    this.#logger = logger;
    this.#verbose = verbose;
  }

  watch(figures: () => EngineFigures): void {
    this.#stats = figures;
  }

  itemSettled({ outcome, code, source }: ItemSettled): void {
    // The caller has the error; this line is for debugging.
    if (outcome === "rejected") this.#logger.debug({ code, source }, "an item was refused or failed");
  }

  batchEnded(batch: BatchEvent): void {
    if (batch.outcome === "failed")
      this.#logger.error({ batch }, `batch ${batch.index} failed on device ${batch.device}`);
    else if (this.#verbose) this.#logger.info({ batch }, batchLine(batch));
    else this.#logger.debug({ batch }, batchLine(batch));
  }

  graphsCaptured(event: GraphsCaptured): void {
    const { device, budgets } = event;
    if (this.#verbose) this.#logger.info({ device, budgets }, graphsCapturedLine(event));
  }

  graphFailed({ device, budget, relativeL2 }: GraphFailed): void {
    this.#logger.warn(
      { device, budget, relativeL2 },
      `the graph of token budget ${budget} differs from the eager run: the budget runs eagerly on device ${device}`,
    );
  }

  gridsWarmed(event: GridsWarmed): void {
    if (this.#verbose) this.#logger.info({ device: event.device }, embeddingCacheWarmedLine(event));
  }

  gridsMissed({ device, frames }: GridsMissed): void {
    if (this.#verbose) this.#logger.info({ device }, embeddingCacheMissLine(frames));
  }

  deviceChanged({ device, state, cause }: DeviceChanged): void {
    if (state === "up") this.#logger.info({ device }, `device ${device} is up`);
    else if (state === "recovering")
      this.#logger.warn({ device, err: cause }, `device ${device} failed, and is made again`);
    else this.#logger.error({ device, err: cause }, `device ${device} is down for good`);
  }

  stateChanged(state: EngineState, cause?: unknown): void {
    if (state === "failed") this.#logger.error({ err: cause }, "the engine has failed: no device is left");
    else this.#logger.info({ state }, `the engine is ${state}`);
    if (state === "closed" && this.#verbose && this.#stats !== undefined) {
      const stats = this.#stats();
      this.#logger.info({ stats: graphStatistics(stats) }, graphStatsLine(stats));
    }
  }
}
