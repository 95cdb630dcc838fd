/** The options of an engine and of a call, and their defaults. packages/core/README.md has the table. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { CompilationConfigInput, EncoderOptions } from "@vitgraph/config";
import { cacheDirectory, type Device, type DeviceOptions } from "@vitgraph/cuda-kernels";
import { checkOptions, describe, isRecord, VitgraphError } from "@vitgraph/errors";
import { type BatchCost, type Clock, type ItemSpec, systemClock } from "@vitgraph/scheduler";
import { DEFAULT_MAX_PIXELS, type DecodeOptions } from "../images/index.js";
import type { Grid } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import type { EngineObserver } from "../observability/observer.js";
import { DEFAULT_MAX_BATCH_TOKENS } from "../runtime/open-encoder.js";
import { PACKING_RULES, type PackingRule } from "../runtime/packing.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import {
  COUNT,
  checkRules,
  hasMethods,
  isFunction,
  isGrid,
  LIMIT,
  listOf,
  oneOf,
  type Rules,
  SIZE,
} from "./option-rules.js";

/** Options for `createDevice`, or a function that returns a device. The engine disposes the device. */
export type EngineDevice = DeviceOptions | (() => Device | Promise<Device>);

/** Limits of an engine. A call above one is refused, or its item is. */
export interface EngineLimits {
  /**
   * Waiting items, preprocessed or not, above which calls are refused. A full queue still takes a call within its
   * caller's share: the limit divided by the waiting callers. Default: 1024.
   */
  readonly maxQueuedItems?: number;
  /** Tokens that waiting items take of budgets; shared like the items. Default: 262 144, sixteen full batches of the default size. */
  readonly maxQueuedTokens?: number;
  /** Pixels above which an encoded image is refused, from its header. Default: Pillow's limit, 178 956 970. */
  readonly maxPixels?: number;
  /**
   * Memory for images that are decoded or wait for their batch, counted in pixels of 3 bytes. A decoder that takes more
   * than 3 bytes a pixel counts as more pixels. Default: 2²⁸, 768 MiB. An image above the limit is decoded alone.
   */
  readonly maxPixelsInFlight?: number;
  /**
   * Images decoded and resized at a time, besides small ones. Default: one less than the cores, or than libuv's threads
   * if they are fewer.
   */
  readonly preprocessConcurrency?: number;
}

/** Options of `EncoderEngine.create`. */
export interface EncoderEngineOptions {
  /** A checkpoint's directory, or a loaded model, which the caller closes after the engine. */
  readonly model: LoadedModel | string;
  /** Default: one device of backend "auto". */
  readonly devices?: readonly EngineDevice[];
  /** vLLM's `--compilation-config`, as an object or as JSON text. */
  readonly compilationConfig?: CompilationConfigInput | string;
  /** The largest budget that is inferred, in tokens: vLLM's `max_num_batched_tokens`. Default: 16 384. */
  readonly maxBatchTokens?: number;
  /** Default: "cost". */
  readonly packing?: PackingRule;
  /** How long an item waits for others while a device is free, in milliseconds. Default: 0. */
  readonly batchWindowMs?: number;
  readonly limits?: EngineLimits;
  /** Colour under transparent pixels of encoded images. Default: alpha is dropped, as in transformers; vLLM has white. */
  readonly background?: NonNullable<DecodeOptions["background"]>;
  /** Host memory of the output cache, in bytes. Default: 0, no cache. */
  readonly outputCacheBytes?: number;
  /** Replaces the engine's own output cache. Several engines can share one. */
  readonly outputCache?: EmbeddingCache;
  /** Device memory for the position embeddings of grids. Default: the encoder's. */
  readonly gridCacheBytes?: number;
  /** Grids whose position embeddings are computed at start. Default: the encoder's. */
  readonly warmUpGrids?: "common" | "none" | readonly Grid[];
  /**
   * The source of batch costs. "auto" measures on GPUs and estimates elsewhere; "measure" and "estimate" apply to all
   * devices; a function gives the cost itself. Default: "auto".
   */
  readonly costs?: "auto" | "measure" | "estimate" | BatchCost;
  /**
   * Directory that stores measured costs for the next start; "" for none. Default: `vitgraph/replay-costs` in the
   * user's cache directory.
   */
  readonly costDirectory?: string;
  /** Called with the bytes of weights loaded so far, of all devices together. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  /** Receive every event from the start; `subscribe` adds more later. */
  readonly observers?: readonly EngineObserver[];
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/** Options of one call of `encode`. */
export interface EncodeOptions {
  /** Cancels the call's items, waiting or running. */
  readonly signal?: AbortSignal;
  /** Lower goes first, as in vLLM. Default: 0. */
  readonly priority?: number;
  /** Milliseconds from now after which the call fails with VG_DEADLINE_EXCEEDED. Default: no limit. */
  readonly timeoutMs?: number;
  /**
   * The caller that the call counts for, such as a tenant or a connection. Within one priority, waiting callers are
   * served equal numbers of tokens. Default: each call counts as one caller.
   */
  readonly caller?: string;
  /**
   * Called once, when the size of each item is known and before any is encoded, with outcomes as from `getItemSpecs`.
   * An error that it throws rejects the call before any item is accepted.
   */
  readonly onItemSpecs?: (specs: readonly PromiseSettledResult<ItemSpec>[]) => void;
}

const ENCODE_OPTIONS = {
  signal: true,
  priority: true,
  timeoutMs: true,
  caller: true,
  onItemSpecs: true,
} satisfies Record<keyof EncodeOptions, true>;

/** @throws VG_ARGUMENT_INVALID; the signal and the time are checked by `RequestContext` */
export function checkEncodeOptions(method: string, options: EncodeOptions): void {
  checkOptions(method, options, Object.keys(ENCODE_OPTIONS));
  const { priority = 0, caller = "" } = options;
  if (!Number.isFinite(priority)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `priority is ${describe(priority)}`, {
      remedy: "give a finite number, lower for sooner",
    });
  }
  if (typeof caller !== "string") {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `caller is ${describe(caller)}`, {
      remedy: "give a string that all calls of one caller share",
    });
  }
  if (options.onItemSpecs !== undefined && !isFunction(options.onItemSpecs)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `onItemSpecs is ${describe(options.onItemSpecs)}`, {
      remedy: "give a function",
    });
  }
}

/** The options with their defaults. */
export type ResolvedEngineOptions = Omit<
  EncoderEngineOptions,
  "compilationConfig" | "limits" | keyof typeof DEFAULTS | "devices" | "clock" | "costDirectory"
> & {
  /** The compilation config's keys for the encoder. */
  readonly encoder: EncoderOptions;
} & {
  readonly [Key in keyof typeof DEFAULTS]-?: NonNullable<EncoderEngineOptions[Key]>;
} & {
  readonly devices: readonly EngineDevice[];
  readonly limits: Required<EngineLimits>;
  readonly clock: Clock;
  readonly costDirectory: string;
};

const DEFAULTS = {
  maxBatchTokens: DEFAULT_MAX_BATCH_TOKENS,
  packing: "cost",
  // Items that arrive while every device is busy share batches anyway; a window would only keep an idle device waiting.
  batchWindowMs: 0,
  // Hosts cache embeddings by their own keys; a second cache would hash every image and keep a copy of each answer.
  outputCacheBytes: 0,
  costs: "auto",
} as const satisfies Partial<EncoderEngineOptions>;

const LIMIT_RULES: Rules<EngineLimits> = {
  maxQueuedItems: LIMIT,
  maxQueuedTokens: LIMIT,
  maxPixels: LIMIT,
  maxPixelsInFlight: LIMIT,
  preprocessConcurrency: COUNT,
};

export const ENGINE_RULES: Rules<EncoderEngineOptions> = {
  model: {
    expected: "a checkpoint's directory, or a model from loadModel",
    accepts: (value) => (typeof value === "string" && value !== "") || (isRecord(value) && "vision" in value),
  },
  devices: listOf(
    "a list, not empty, of options for createDevice or of functions that make a device",
    (value) => isRecord(value) || isFunction(value),
  ),
  compilationConfig: {
    expected: "an object or JSON text",
    accepts: (value) => isRecord(value) || typeof value === "string",
  },
  maxBatchTokens: COUNT,
  packing: oneOf(PACKING_RULES),
  batchWindowMs: {
    expected: "a number of milliseconds, 0 for no window",
    accepts: (value) => Number.isFinite(value) && (value as number) >= 0,
  },
  limits: {
    expected: `an object of ${Object.keys(LIMIT_RULES).join(", ")}`,
    accepts: isRecord,
    fields: LIMIT_RULES,
  },
  background: {
    expected: "red, green and blue, 0 to 255 each",
    accepts: (value) =>
      Array.isArray(value) &&
      value.length === 3 &&
      value.every((channel) => Number.isInteger(channel) && channel >= 0 && channel <= 255),
  },
  outputCacheBytes: SIZE,
  outputCache: {
    expected: "an OutputCache, or an object with its methods",
    accepts: (value) => hasMethods(value, "share", "stats", "clear"),
  },
  gridCacheBytes: SIZE,
  warmUpGrids: {
    expected: '"common", "none", or a list of grids { t, h, w } in patches',
    accepts: (value) =>
      value === "common" || value === "none" || (Array.isArray(value) && value.every(isGrid)),
  },
  costs: {
    expected: "one of auto, measure, estimate, or a function",
    accepts: (value) => isFunction(value) || ["auto", "measure", "estimate"].some((known) => known === value),
  },
  costDirectory: { expected: "a directory, or empty text", accepts: (value) => typeof value === "string" },
  onProgress: { expected: "a function", accepts: isFunction },
  observers: {
    expected: "a list of observers",
    accepts: (value) => Array.isArray(value) && value.every(isRecord),
  },
  clock: {
    expected: "an object with now and after",
    accepts: (value) => hasMethods(value, "now", "after"),
  },
};

/** @throws VG_ARGUMENT_INVALID naming the options */
export function checkEngineOptions(options: EncoderEngineOptions): void {
  checkRules("EncoderEngine.create", options, ENGINE_RULES, "which is the option compilationConfig");
  if (options.model === undefined) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "the options of EncoderEngine.create have no model", {
      remedy: "pass a checkpoint's directory, or a model from loadModel",
    });
  }
}

/** Fills in the defaults of options that were checked. */
export function resolveEngineOptions(
  options: Omit<EncoderEngineOptions, "compilationConfig">,
  encoder: EncoderOptions,
): ResolvedEngineOptions {
  const { devices = [{}], limits = {}, clock = systemClock } = options;
  const { costDirectory = join(cacheDirectory(), "replay-costs") } = options;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return {
    ...DEFAULTS,
    ...given,
    encoder,
    devices,
    clock,
    costDirectory,
    limits: {
      maxQueuedItems: limits.maxQueuedItems ?? 1024,
      maxQueuedTokens: limits.maxQueuedTokens ?? 16 * DEFAULT_MAX_BATCH_TOKENS,
      maxPixels: limits.maxPixels ?? DEFAULT_MAX_PIXELS,
      maxPixelsInFlight: limits.maxPixelsInFlight ?? 2 ** 28,
      preprocessConcurrency: limits.preprocessConcurrency ?? defaultPreprocessConcurrency(),
    },
  } as ResolvedEngineOptions;
}

/**
 * Leaves one of libuv's threads to small images and file access. Also leaves one core: with both of two cores decoding
 * large images, small ones took 2.4 times as long.
 */
function defaultPreprocessConcurrency(): number {
  const libuvThreads = Number(process.env.UV_THREADPOOL_SIZE ?? 4);
  return Math.max(1, Math.min(availableParallelism(), libuvThreads) - 1);
}
