/** What an engine can be told, and what it does when it is told nothing. packages/core/README.md has the table. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { CompilationConfigInput } from "@vitgraph/config";
import { cacheDirectory, type Device, type DeviceOptions } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import { type BatchCost, type Clock, systemClock } from "@vitgraph/scheduler";
import { DEFAULT_MAX_PIXELS } from "../images/index.js";
import type { Grid } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import type { EngineObserver } from "../observability/observer.js";
import { DEFAULT_MAX_BATCH_TOKENS } from "../runtime/vision-encoder.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import { PACKING_RULES, type PackingRule } from "./packing.js";

/** What to make a device of: options for `createDevice`, or a function that makes one. The engine disposes what is made. */
export type EngineDevice = DeviceOptions | (() => Device | Promise<Device>);

export interface EngineLimits {
  /** Items that wait, prepared or not, before calls are refused. Default: 1024. */
  readonly maxQueuedItems?: number;
  /** Tokens that wait. Default: 262 144, sixteen full batches of the default size. */
  readonly maxQueuedTokens?: number;
  /** Pixels above which an encoded image is refused, from its header. Default: Pillow's limit, 178 956 970. */
  readonly maxPixels?: number;
  /** Pixels held in memory by preparing and by what was prepared and waits, at 3 bytes each. Default: 2²⁸, 768 MiB. */
  readonly maxPixelsInFlight?: number;
  /** Images decoded and resized at a time. Default: the cores, at most one less than libuv's threads. */
  readonly prepareConcurrency?: number;
}

export interface EncoderEngineOptions {
  /** A loaded model, which stays the caller's and open until the engine is closed, or a checkpoint's directory. */
  readonly model: LoadedModel | string;
  /** Default: one device of backend "auto". */
  readonly devices?: readonly EngineDevice[];
  /** The dtype of the embeddings. Must be what the devices compute in. Default: "auto", whatever that is. */
  readonly dtype?: "auto" | "bf16" | "f32";
  /** vLLM's `--compilation-config`, as an object or as JSON text. */
  readonly compilationConfig?: CompilationConfigInput | string;
  /** The largest budget that is inferred, in tokens: vLLM's `max_num_batched_tokens`. Default: 16 384. */
  readonly maxBatchTokens?: number;
  /** Default: "cost". */
  readonly packing?: PackingRule;
  /** How long an item waits for company while a device is free, in milliseconds. Default: 0. */
  readonly batchWindowMs?: number;
  readonly limits?: EngineLimits;
  /** Host memory for embeddings that may be asked for again. 0 keeps none. Default: 1 GiB. */
  readonly outputCacheBytes?: number;
  /** A cache of the caller's own, in the place of the engine's. */
  readonly outputCache?: EmbeddingCache;
  /** Device memory for the position embeddings of grids. Default: the encoder's. */
  readonly gridCacheBytes?: number;
  /** Grids whose position embeddings are computed at start. Default: the encoder's. */
  readonly warmUpGrids?: "common" | "none" | readonly Grid[];
  /** Compare each captured graph with the eager run before it is used. Default: true. */
  readonly selfCheck?: boolean;
  /**
   * Where a batch's cost comes from. "auto" measures on GPUs and estimates elsewhere; "measure" and "estimate" do that
   * everywhere; a function is taken as it is. Default: "auto".
   */
  readonly costs?: "auto" | "measure" | "estimate" | BatchCost;
  /**
   * Directory that keeps measured costs for the next start; "" for none. Default: `vitgraph/replay-costs` in the user's
   * cache directory.
   */
  readonly costDirectory?: string;
  /** Hears of the bytes of weights loaded so far, of all devices together. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Told of everything from the start; `subscribe` adds more later. */
  readonly observers?: readonly EngineObserver[];
  /** Default: the machine's. */
  readonly clock?: Clock;
}

export interface EncodeOptions {
  /** Takes the call's items back, wherever they are. */
  readonly signal?: AbortSignal;
  /** Lower goes first, as in vLLM. Default: 0. */
  readonly priority?: number;
  /** The moment from which the answers are of no use, on the engine's clock: `performance.now() + 500`. */
  readonly deadline?: number;
}

/** The options with everything filled in that does not depend on a model. */
export type ResolvedEngineOptions = Omit<
  EncoderEngineOptions,
  "limits" | keyof typeof DEFAULTS | "devices" | "clock" | "costDirectory"
> & {
  readonly [Key in keyof typeof DEFAULTS]-?: NonNullable<EncoderEngineOptions[Key]>;
} & {
  readonly devices: readonly EngineDevice[];
  readonly limits: Required<EngineLimits>;
  readonly clock: Clock;
  readonly costDirectory: string;
};

const DEFAULTS = {
  dtype: "auto",
  compilationConfig: {},
  maxBatchTokens: DEFAULT_MAX_BATCH_TOKENS,
  packing: "cost",
  // Items that come while every device is busy are batched without any window; one would only make an idle device wait.
  batchWindowMs: 0,
  // A megapixel's embedding of the largest tower has 32 MiB.
  outputCacheBytes: 2 ** 30,
  selfCheck: true,
  costs: "auto",
} as const satisfies Partial<EncoderEngineOptions>;

/** @throws VG_ARGUMENT_INVALID naming the option */
export function resolveEngineOptions(options: EncoderEngineOptions): ResolvedEngineOptions {
  const { devices = [{}], limits = {}, clock = systemClock } = options;
  const { costDirectory = join(cacheDirectory(), "replay-costs") } = options;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved = {
    ...DEFAULTS,
    ...given,
    devices,
    clock,
    costDirectory,
    limits: {
      maxQueuedItems: limits.maxQueuedItems ?? 1024,
      maxQueuedTokens: limits.maxQueuedTokens ?? 16 * DEFAULT_MAX_BATCH_TOKENS,
      maxPixels: limits.maxPixels ?? DEFAULT_MAX_PIXELS,
      maxPixelsInFlight: limits.maxPixelsInFlight ?? 2 ** 28,
      prepareConcurrency: limits.prepareConcurrency ?? defaultPrepareConcurrency(),
    },
  } as ResolvedEngineOptions;
  if (devices.length === 0) fail("devices", "an empty list", "name at least one device, or leave it out");
  oneOf("dtype", resolved.dtype, ["auto", "bf16", "f32"]);
  oneOf("packing", resolved.packing, PACKING_RULES);
  if (typeof resolved.costs !== "function") oneOf("costs", resolved.costs, ["auto", "measure", "estimate"]);
  atLeast("maxBatchTokens", resolved.maxBatchTokens, 1);
  atLeast("batchWindowMs", resolved.batchWindowMs, 0);
  atLeast("outputCacheBytes", resolved.outputCacheBytes, 0);
  for (const [name, value] of Object.entries(resolved.limits)) atLeast(`limits.${name}`, value, 1);
  return resolved;
}

/** Decoding fills libuv's threads; one is left to files and to the system's own work. */
function defaultPrepareConcurrency(): number {
  const libuvThreads = Number(process.env.UV_THREADPOOL_SIZE ?? 4);
  return Math.max(1, Math.min(availableParallelism(), libuvThreads - 1));
}

function oneOf(name: string, value: unknown, known: readonly string[]): void {
  if (known.includes(value as string)) return;
  fail(name, JSON.stringify(value), `use one of ${known.join(", ")}`);
}

function atLeast(name: string, value: unknown, least: number): void {
  if (typeof value === "number" && value >= least) return;
  fail(name, String(value), `give a number of at least ${least}`);
}

function fail(name: string, value: string, remedy: string): never {
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is ${value}`, { remedy, details: { name, value } });
}
