/**
 * vitgraph's own options, for which vLLM's compilation config has no key. They are a separate object, so that vLLM accepts
 * the compilation config unchanged.
 */
import { BACKENDS, type BackendChoice } from "@vitgraph/cuda-kernels";
import { ENGINE_RULES, type EncoderEngineOptions } from "../engine/engine-options.js";
import { checkRules, hasMethods, listOf, oneOf, type Rules } from "../engine/option-rules.js";
import type { LoadedModel } from "../models/load-model.js";
import { isLogger, type Logger } from "../observability/logger.js";
import type { EngineObserver } from "../observability/observer.js";
import { MODALITIES, type Modality } from "./contract.js";
import type { CreateEngine, EncoderEngineLike } from "./engine-like.js";

/** Defaults are the engine's: see packages/core/README.md. */
export interface EncoderPluginOptions
  extends Pick<
    EncoderEngineOptions,
    | "maxBatchTokens"
    | "packing"
    | "batchWindowMs"
    | "limits"
    | "outputCacheBytes"
    | "gridCacheBytes"
    | "warmUpGrids"
  > {
  /** The checkpoint's directory, or a loaded model, which the caller closes. Default: the host's `model.path`. */
  readonly model?: LoadedModel | string;
  /** For which modalities the host gets the encoder. Default: all. */
  readonly modalities?: readonly Modality[];
  /** Default: "auto", a GPU if there is one or if `device` names one. */
  readonly backend?: BackendChoice;
  /** Ordinals of the GPUs, one or several. A missing one is an error, never replaced by the CPU. Default: the first. */
  readonly device?: number | readonly number[];
  /** Default: the host's, or else warnings and errors on standard error. */
  readonly logger?: Logger;
  /** Metrics, traces and streams of batches: see `@vitgraph/core/observability`. Each watches every engine of the plugin. */
  readonly observers?: readonly EngineObserver[];
  /**
   * A running engine, which the caller closes. The options of an engine then have no effect, nor has the host's
   * compilation config. Default: each registration starts one.
   */
  readonly engine?: EncoderEngineLike;
  /** Makes the engine. Default: vitgraph's; another one is for tests. */
  readonly createEngine?: CreateEngine;
}

const isOrdinal = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

const RULES: Rules<EncoderPluginOptions> = {
  model: ENGINE_RULES.model,
  modalities: listOf(`a list of ${MODALITIES.join(", ")}`, (value) =>
    MODALITIES.some((known) => known === value),
  ),
  backend: oneOf(BACKENDS),
  device: {
    expected: "the ordinal of a GPU, from 0, or a list of them",
    accepts: (value) =>
      isOrdinal(value) || (Array.isArray(value) && value.length > 0 && value.every(isOrdinal)),
  },
  maxBatchTokens: ENGINE_RULES.maxBatchTokens,
  packing: ENGINE_RULES.packing,
  batchWindowMs: ENGINE_RULES.batchWindowMs,
  limits: ENGINE_RULES.limits,
  outputCacheBytes: ENGINE_RULES.outputCacheBytes,
  gridCacheBytes: ENGINE_RULES.gridCacheBytes,
  warmUpGrids: ENGINE_RULES.warmUpGrids,
  logger: { expected: "an object with debug, info, warn and error", accepts: isLogger },
  observers: ENGINE_RULES.observers,
  engine: {
    expected: "an EncoderEngine",
    accepts: (value) => hasMethods(value, "encode", "getItemSpecs", "close"),
  },
  createEngine: { expected: "a function", accepts: (value) => typeof value === "function" },
};

/** @throws VG_ARGUMENT_INVALID naming each problem; `details.problems` has them as a list */
export function checkPluginOptions(options: unknown): asserts options is EncoderPluginOptions {
  checkRules("the encoder plugin", options, RULES, "which the host hands over");
}
