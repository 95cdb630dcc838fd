/**
 * vitgraph's own options: what vLLM's compilation config has no key for. They are an object of their own, so that the
 * compilation config stays one that vLLM accepts.
 */
import { compilationConfigSchema, nearestKey } from "@vitgraph/config";
import { BACKENDS, type BackendChoice } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import type { EncoderEngineOptions, EngineLimits } from "../engine/engine-options.js";
import { PACKING_RULES } from "../engine/packing.js";
import type { LoadedModel } from "../models/load-model.js";
import { isLogger, type Logger } from "../observability/logger.js";
import type { EngineObserver } from "../observability/observer.js";
import { MODALITIES, type Modality } from "./contract.js";
import type { CreateEngine } from "./engine-like.js";

/** What is left out is the engine's default; packages/core/README.md has them. */
export interface EncoderPluginOptions
  extends Pick<
    EncoderEngineOptions,
    | "dtype"
    | "maxBatchTokens"
    | "packing"
    | "batchWindowMs"
    | "limits"
    | "outputCacheBytes"
    | "gridCacheBytes"
    | "warmUpGrids"
    | "selfCheck"
  > {
  /** The checkpoint's directory, or a loaded model, which stays the caller's. Default: the host's `model.path`. */
  readonly model?: LoadedModel | string;
  /** For which modalities the host gets the encoder. Default: all. */
  readonly modalities?: readonly Modality[];
  /** Default: "auto", a GPU where there is one, or where `device` names any. */
  readonly backend?: BackendChoice;
  /** Ordinals of the GPUs, one or several; the CPU does not stand in for one that is not there. Default: the first there is. */
  readonly device?: number | readonly number[];
  /** Default: the host's, or else one on standard error. */
  readonly logger?: Logger;
  /** Told of everything, beside metrics, traces and log. */
  readonly observers?: readonly EngineObserver[];
  /** Makes the engine. Default: vitgraph's; another one is for tests. */
  readonly createEngine?: CreateEngine;
}

interface Rule {
  /** As a phrase: "one of cpu, cuda". */
  readonly expected: string;
  accepts(value: unknown): boolean;
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isOrdinal = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isGrid = (value: unknown): boolean =>
  isObject(value) && ["t", "h", "w"].every((side) => isCount(Reflect.get(value, side)));

const COUNT: Rule = { expected: "a positive whole number", accepts: isCount };
const SIZE: Rule = {
  expected: "a number of bytes, 0 for none",
  accepts: (value) => typeof value === "number" && value >= 0,
};
const oneOf = (values: readonly string[]): Rule => ({
  expected: `one of ${values.join(", ")}`,
  accepts: (value) => values.some((known) => known === value),
});
const listOf = (expected: string, accepts: (element: unknown) => boolean): Rule => ({
  expected,
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(accepts),
});

const LIMIT_RULES: { readonly [Name in keyof Required<EngineLimits>]: Rule } = {
  maxQueuedItems: COUNT,
  maxQueuedTokens: COUNT,
  maxPixels: COUNT,
  maxPixelsInFlight: COUNT,
  prepareConcurrency: COUNT,
};

const RULES: { readonly [Name in keyof Required<EncoderPluginOptions>]: Rule } = {
  model: {
    expected: "a checkpoint's directory, or a model from loadModel",
    accepts: (value) => (typeof value === "string" && value !== "") || (isObject(value) && "vision" in value),
  },
  modalities: listOf(`a list of ${MODALITIES.join(", ")}`, (value) =>
    MODALITIES.some((known) => known === value),
  ),
  backend: oneOf(BACKENDS),
  device: {
    expected: "the ordinal of a GPU, from 0, or a list of them",
    accepts: (value) =>
      isOrdinal(value) || (Array.isArray(value) && value.length > 0 && value.every(isOrdinal)),
  },
  dtype: oneOf(["auto", "bf16", "f32"]),
  maxBatchTokens: COUNT,
  packing: oneOf(PACKING_RULES),
  batchWindowMs: {
    expected: "a number of milliseconds, 0 for no window",
    accepts: (value) => Number.isFinite(value) && (value as number) >= 0,
  },
  limits: { expected: `an object of ${Object.keys(LIMIT_RULES).join(", ")}`, accepts: isObject },
  outputCacheBytes: SIZE,
  gridCacheBytes: SIZE,
  warmUpGrids: {
    expected: '"common", "none", or a list of grids { t, h, w } in patches',
    accepts: (value) =>
      value === "common" || value === "none" || (Array.isArray(value) && value.every(isGrid)),
  },
  selfCheck: { expected: "true or false", accepts: (value) => typeof value === "boolean" },
  logger: { expected: "an object with debug, info, warn and error", accepts: isLogger },
  observers: {
    expected: "a list of observers",
    accepts: (value) => Array.isArray(value) && value.every(isObject),
  },
  createEngine: { expected: "a function", accepts: (value) => typeof value === "function" },
};

/**
 * Proves that the options are such, and names everything that is wrong with them. Plugins are set up from files and by
 * callers without types.
 * @throws VG_ARGUMENT_INVALID, the problems as text in `details.problems`
 */
export function checkPluginOptions(options: unknown): asserts options is EncoderPluginOptions {
  const problems = isObject(options)
    ? [
        ...problemsOf(options, RULES, ""),
        ...problemsOf(Reflect.get(options, "limits") ?? {}, LIMIT_RULES, "limits."),
      ]
    : [`they are ${show(options)}, and must be an object`];
  if (problems.length === 0) return;
  throw new VitgraphError(
    "VG_ARGUMENT_INVALID",
    `the options of the encoder plugin are invalid: ${problems.join("; ")}`,
    { details: { problems } },
  );
}

function problemsOf(options: object, rules: Readonly<Record<string, Rule>>, path: string): readonly string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) return [`"${path}${name}" is ${whatElse(name, Object.keys(rules), path)}`];
    if (value === undefined || rule.accepts(value)) return [];
    return [`"${path}${name}" is ${show(value)}, and must be ${rule.expected}`];
  });
}

/** What an option that is none may be. */
function whatElse(name: string, known: readonly string[], path: string): string {
  if (Object.hasOwn(compilationConfigSchema.properties ?? {}, name)) {
    return "a key of the compilation config, which the host hands over";
  }
  const nearest = nearestKey(name, known);
  return nearest === undefined
    ? `unknown, and known are ${known.join(", ")}`
    : `unknown: did you mean "${path}${nearest}"?`;
}

function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  // NaN and Infinity are null in JSON.
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}
