/**
 * The observer interface of an engine; every method is optional. Metrics, traces, logs and streams implement it, and
 * the engine depends on none of them.
 *
 * Observers are called on the JavaScript thread, in the order of the events, and must be quick. An exception is
 * reported once per observer as a process warning, and otherwise ignored.
 */
import type { DeviceMemory } from "@vitgraph/cuda-kernels";
import type { ErrorCode } from "@vitgraph/errors";
import type { Frame } from "../runtime/grid-rows.js";
import type { CapturedGraphs } from "../runtime/open-encoder.js";
import type { GraphStatistics } from "../runtime/stats.js";

/**
 * `loading` the weights, `warming` up (capturing, self-check, costs), `ready`, `draining` after a close, `closed`;
 * `failed` where no device is left.
 */
export type EngineState = "loading" | "warming" | "ready" | "draining" | "closed" | "failed";

/** `up`: takes batches. `recovering`: failed, and is being reopened. `down`: failed permanently. */
export type DeviceState = "up" | "recovering" | "down";

/** One call of `encode`. */
export interface EncodeCall {
  /** Unique among the calls of this engine. */
  readonly id: number;
  readonly items: number;
}

export interface EncodeCallEnded extends EncodeCall {
  readonly fulfilled: number;
  readonly rejected: number;
  /** From the call to its last answer. */
  readonly wallMs: number;
}

/** A batch that was submitted to its device. */
export interface BatchStart {
  /** Counts up from 0 over the engine's life, whichever device runs the batch. */
  readonly index: number;
  /** Position in the engine's list of devices. */
  readonly device: number;
  readonly items: number;
  /** Taken of a budget: rows, or more for items with more patches than those stand for. */
  readonly tokens: number;
  /** The budget whose program runs; null for eager. */
  readonly budget: number | null;
  /** Padding as a share of the budget; 0 for eager. */
  readonly padding: number;
  /** `tokens` of each item, in the batch's order. */
  readonly itemTokens: readonly number[];
  /** How long each item waited in the queue, in milliseconds, in the batch's order. */
  readonly queueMs: readonly number[];
  /** Ids of the calls that the items belong to, without duplicates. Absent if no observer needs them. */
  readonly calls?: readonly number[];
}

/** A batch that ended. */
export interface BatchEvent extends BatchStart {
  /** The device's own measure of the run; 0 where the batch failed. */
  readonly deviceMs: number;
  /** From submitting the batch to its results. */
  readonly wallMs: number;
  /**
   * `failed` if the whole batch failed; `cancelled` if its callers had gone before it was done. An item with NaN in its
   * result fails alone, and its batch is `ok`.
   */
  readonly outcome: "ok" | "failed" | "cancelled";
}

/** An item that got its result, or its error. */
export interface ItemSettled {
  readonly outcome: "fulfilled" | "rejected";
  /** Of the error. */
  readonly code?: ErrorCode;
  /**
   * The source of the result: a device, the output cache, or none if the item was refused or cancelled before it ran.
   */
  readonly source: "device" | "output_cache" | "refused";
}

/** An item that was decoded, resized and cut into patches. */
export interface ItemPrepared {
  readonly durationMs: number;
  readonly kind: "image" | "raster" | "frames" | "video";
}

/** A device captured its graphs. */
export interface GraphsCaptured extends CapturedGraphs {
  readonly device: number;
}

/** A graph differed from the eager run in its self-check and is not used. */
export interface GraphFailed {
  readonly device: number;
  readonly budget: number;
  /** NaN if the replay's result had NaN or infinity. */
  readonly relativeL2: number;
}

/** A device filled its grid cache at startup. */
export interface GridsWarmed {
  readonly device: number;
  /** Grids whose position embeddings are on the device from the start, and their bytes. */
  readonly entries: number;
  readonly bytes: number;
}

/** A batch had grids that the grid cache did not have. */
export interface GridsMissed {
  readonly device: number;
  /** Frames of a batch whose position embeddings had to be computed first. */
  readonly frames: readonly Frame[];
}

/** A device failed, came back, or was given up. */
export interface DeviceChanged {
  readonly device: number;
  readonly state: DeviceState;
  readonly cause?: unknown;
}

/** The part of an engine's `stats()` that observers read. */
export interface EngineFigures extends GraphStatistics {
  /** Waiting for a batch. */
  readonly queue: { readonly items: number; readonly tokens: number };
  readonly devices: readonly DeviceFigures[];
  readonly outputCache?: CacheFigures | null;
  readonly gridCache?: CacheFigures | null;
}

/** A device's state and memory. */
export interface DeviceFigures {
  readonly state: DeviceState;
  /** For people: "NVIDIA H200, 132 multiprocessors, CUDA 13.0". */
  readonly name?: string;
  /** Of the whole device, including other processes; null while it is not up. */
  readonly memory?: DeviceMemory | null;
}

/** What `OutputCache.stats()` returns; the grid cache has the same but `joined`. */
export interface CacheFigures {
  readonly hits: number;
  readonly misses: number;
  readonly joined?: number;
  readonly evictions: number;
  readonly entries: number;
  readonly bytes: number;
  readonly capacityBytes: number;
}

/** Receives an engine's events. Implement any of its methods; each must be quick. */
export interface EngineObserver {
  /** Called once, when the engine can be queried for values without events, such as the queue's length. */
  watch?(figures: () => EngineFigures): void;
  /** Called inside the caller's call of `encode`, so that its trace is active. */
  callStarted?(call: EncodeCall): void;
  /** All items of a call have settled. */
  callEnded?(call: EncodeCallEnded): void;
  /** A call has brought this many items. */
  itemsArrived?(count: number): void;
  /** An item got its result, or its error. */
  itemSettled?(event: ItemSettled): void;
  /** An item was decoded, resized and cut into patches. */
  prepared?(event: ItemPrepared): void;
  /** A batch was submitted to its device. */
  batchStarted?(event: BatchStart): void;
  /** A batch has its results, or has failed. */
  batchEnded?(event: BatchEvent): void;
  /** A device captured its graphs, at the start or after a failure. */
  graphsCaptured?(event: GraphsCaptured): void;
  /** A graph differed from the eager run in its self-check; its budget runs eagerly on that device. */
  graphFailed?(event: GraphFailed): void;
  /** A device filled its grid cache, at the start or after a failure. */
  gridsWarmed?(event: GridsWarmed): void;
  /** A batch had grids that the grid cache did not have. */
  gridsMissed?(event: GridsMissed): void;
  /** A device failed, came back, or was given up. */
  deviceChanged?(event: DeviceChanged): void;
  /** The engine entered a state. @param cause of `failed` */
  stateChanged?(state: EngineState, cause?: unknown): void;
}

/** Tells all of them. */
export class ObserverList implements Required<EngineObserver> {
  readonly #observers: Set<EngineObserver>;
  readonly #failed = new WeakSet<EngineObserver>();
  #figures: (() => EngineFigures) | undefined;

  constructor(observers: Iterable<EngineObserver> = []) {
    this.#observers = new Set(observers);
  }

  /** Returns a function that removes it. */
  add(observer: EngineObserver): () => void {
    this.#observers.add(observer);
    const figures = this.#figures;
    if (figures !== undefined) this.#call(observer, () => observer.watch?.(figures));
    return () => this.#observers.delete(observer);
  }

  /** For current observers, and for those added later. */
  watch(figures: () => EngineFigures): void {
    this.#figures = figures;
    this.#tell((observer) => observer.watch?.(figures));
  }

  callStarted(call: EncodeCall): void {
    this.#tell((observer) => observer.callStarted?.(call));
  }

  callEnded(call: EncodeCallEnded): void {
    this.#tell((observer) => observer.callEnded?.(call));
  }

  itemsArrived(count: number): void {
    this.#tell((observer) => observer.itemsArrived?.(count));
  }

  itemSettled(event: ItemSettled): void {
    this.#tell((observer) => observer.itemSettled?.(event));
  }

  prepared(event: ItemPrepared): void {
    this.#tell((observer) => observer.prepared?.(event));
  }

  batchStarted(event: BatchStart): void {
    this.#tell((observer) => observer.batchStarted?.(event));
  }

  batchEnded(event: BatchEvent): void {
    this.#tell((observer) => observer.batchEnded?.(event));
  }

  graphsCaptured(event: GraphsCaptured): void {
    this.#tell((observer) => observer.graphsCaptured?.(event));
  }

  graphFailed(event: GraphFailed): void {
    this.#tell((observer) => observer.graphFailed?.(event));
  }

  gridsWarmed(event: GridsWarmed): void {
    this.#tell((observer) => observer.gridsWarmed?.(event));
  }

  gridsMissed(event: GridsMissed): void {
    this.#tell((observer) => observer.gridsMissed?.(event));
  }

  deviceChanged(event: DeviceChanged): void {
    this.#tell((observer) => observer.deviceChanged?.(event));
  }

  stateChanged(state: EngineState, cause?: unknown): void {
    this.#tell((observer) => observer.stateChanged?.(state, cause));
  }

  #tell(call: (observer: EngineObserver) => void): void {
    for (const observer of this.#observers) this.#call(observer, call);
  }

  #call(observer: EngineObserver, call: (observer: EngineObserver) => void): void {
    try {
      call(observer);
    } catch (error) {
      if (this.#failed.has(observer)) return;
      this.#failed.add(observer);
      process.emitWarning(`an observer of the encoder engine threw: ${String(error)}`, {
        code: "VG_OBSERVER_FAILED",
      });
    }
  }
}
