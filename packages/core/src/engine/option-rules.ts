/** The options of the engine as data: for each the values that it takes. The engine and the plugin check against them. */
import { compilationConfigSchema } from "@vitgraph/config";
import { describe, unknownOption, VitgraphError } from "@vitgraph/errors";
import type { EncoderEngineOptions, EngineLimits } from "./engine-options.js";
import { PACKING_RULES } from "./packing.js";

export interface Rule {
  /** As a phrase: "one of cpu, cuda". */
  readonly expected: string;
  accepts(value: unknown): boolean;
}

export type Rules<Options> = { readonly [Name in keyof Required<Options>]: Rule };

export const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isFunction = (value: unknown): boolean => typeof value === "function";
const isGrid = (value: unknown): boolean =>
  isObject(value) && ["t", "h", "w"].every((side) => isCount(Reflect.get(value, side)));
const hasMethods = (value: unknown, ...names: readonly string[]): boolean =>
  isObject(value) && names.every((name) => isFunction(Reflect.get(value, name)));

export const oneOf = (values: readonly string[]): Rule => ({
  expected: `one of ${values.join(", ")}`,
  accepts: (value) => values.some((known) => known === value),
});
export const listOf = (expected: string, accepts: (element: unknown) => boolean): Rule => ({
  expected,
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(accepts),
});
const COUNT: Rule = { expected: "a positive whole number", accepts: isCount };
const LIMIT: Rule = {
  expected: "a positive whole number, or Infinity for no limit",
  accepts: (value) => isCount(value) || value === Number.POSITIVE_INFINITY,
};
const SIZE: Rule = {
  expected: "a number of bytes, 0 for none",
  accepts: (value) => typeof value === "number" && value >= 0,
};

export const LIMIT_RULES: Rules<EngineLimits> = {
  maxQueuedItems: LIMIT,
  maxQueuedTokens: LIMIT,
  maxPixels: LIMIT,
  maxPixelsInFlight: LIMIT,
  prepareConcurrency: COUNT,
};

export const ENGINE_RULES: Rules<EncoderEngineOptions> = {
  model: {
    expected: "a checkpoint's directory, or a model from loadModel",
    accepts: (value) => (typeof value === "string" && value !== "") || (isObject(value) && "vision" in value),
  },
  devices: listOf(
    "a list, not empty, of options for createDevice or of functions that make a device",
    (value) => isObject(value) || isFunction(value),
  ),
  dtype: oneOf(["auto", "bf16", "f32"]),
  compilationConfig: {
    expected: "an object or JSON text",
    accepts: (value) => isObject(value) || typeof value === "string",
  },
  maxBatchTokens: COUNT,
  packing: oneOf(PACKING_RULES),
  batchWindowMs: {
    expected: "a number of milliseconds, 0 for no window",
    accepts: (value) => Number.isFinite(value) && (value as number) >= 0,
  },
  limits: { expected: `an object of ${Object.keys(LIMIT_RULES).join(", ")}`, accepts: isObject },
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
  selfCheck: { expected: "true or false", accepts: (value) => typeof value === "boolean" },
  costs: {
    expected: "one of auto, measure, estimate, or a function",
    accepts: (value) => isFunction(value) || ["auto", "measure", "estimate"].some((known) => known === value),
  },
  costDirectory: { expected: "a directory, or empty text", accepts: (value) => typeof value === "string" },
  onProgress: { expected: "a function", accepts: isFunction },
  observers: {
    expected: "a list of observers",
    accepts: (value) => Array.isArray(value) && value.every(isObject),
  },
  clock: {
    expected: "an object with now and after",
    accepts: (value) => hasMethods(value, "now", "after"),
  },
};

/** Problems that one message names. */
const MOST_NAMED = 10;

/**
 * Proves that the options are an object of known names and accepted values. Options come from files, and from callers
 * without types.
 * @param owner for the message: "EncoderEngine.create"
 * @param compilationConfigIs the right place for a key of the compilation config, for the message
 * @throws VG_ARGUMENT_INVALID naming each problem; `details.problems` has them as a list
 */
export function checkRules(
  owner: string,
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
  compilationConfigIs: string,
): asserts options is object {
  const problems = isObject(options)
    ? [
        ...problemsOf(options, rules, "", compilationConfigIs),
        ...problemsOf(Reflect.get(options, "limits") ?? {}, LIMIT_RULES, "limits.", compilationConfigIs),
      ]
    : [`they are ${describe(options)}, and must be an object`];
  if (problems.length === 0) return;
  const more = problems.length > MOST_NAMED ? `; and ${problems.length - MOST_NAMED} more` : "";
  const text = problems.slice(0, MOST_NAMED).join("; ");
  throw new VitgraphError("VG_ARGUMENT_INVALID", `the options of ${owner} are invalid: ${text}${more}`, {
    details: { problems: problems.slice(0, MOST_NAMED) },
  });
}

function problemsOf(
  options: object,
  rules: Readonly<Record<string, Rule>>,
  path: string,
  compilationConfigIs: string,
): readonly string[] {
  if (!isObject(options)) return [];
  return Object.entries(options).flatMap(([name, value]) => {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    const quoted = describe(`${path}${name}`);
    if (rule === undefined) {
      if (Object.hasOwn(compilationConfigSchema.properties ?? {}, name)) {
        return [`${quoted} is a key of the compilation config, ${compilationConfigIs}`];
      }
      return [
        `${quoted} is unknown: ${unknownOption(
          `${path}${name}`,
          Object.keys(rules).map((known) => `${path}${known}`),
        )}`,
      ];
    }
    if (value === undefined || rule.accepts(value)) return [];
    return [`${quoted} is ${describe(value)}, and must be ${rule.expected}`];
  });
}
