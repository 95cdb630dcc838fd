/** The statistics of an engine. */
import type { DeviceMemory } from "@vitgraph/cuda-kernels";
import type { DeviceState, EngineState } from "../observability/observer.js";
import type { EncoderStats } from "../runtime/stats.js";
import type { OutputCacheStats } from "./output-cache.js";

/** vLLM's statistics of the encoder, under its names, and the engine's own. Plain data. */
export interface EngineStats extends EncoderStats {
  readonly state: EngineState;
  readonly queue: {
    /** Waiting items, preprocessed or not. */
    readonly items: number;
    /** Tokens of the waiting items whose size is known. */
    readonly tokens: number;
    /** Items that are being opened or preprocessed, or wait for it. */
    readonly preparing: number;
    readonly batchesInFlight: number;
  };
  readonly devices: readonly DeviceStats[];
  /** Null if there is no output cache. */
  readonly outputCache: OutputCacheStats | null;
}

/** A device's state and the statistics of its encoder. */
export interface DeviceStats {
  readonly backend: "cpu" | "cuda" | "null";
  readonly name: string;
  readonly state: DeviceState;
  /** Number of successful batches. */
  readonly batches: number;
  /**
   * Memory of the whole device, including other processes; null while it is not up, and after the engine was closed.
   */
  readonly memory: DeviceMemory | null;
  /** The error, if the device is not up. */
  readonly error?: string;
}
