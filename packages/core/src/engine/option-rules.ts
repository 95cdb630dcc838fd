/** Checks options against a table of accepted values. Engine and plugin share the rules. */
import { compilationConfigSchema } from "@vitgraph/config";
import { describe, isRecord, unknownOption, VitgraphError } from "@vitgraph/errors";

export interface Rule {
  /** A phrase for messages: "one of cpu, cuda". */
  readonly expected: string;
  accepts(value: unknown): boolean;
  /** For an option that is an object: the rules of its fields. */
  readonly fields?: Readonly<Record<string, Rule>>;
}

export type Rules<Options> = { readonly [Name in keyof Required<Options>]: Rule };

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
export const isFunction = (value: unknown): boolean => typeof value === "function";
export const isGrid = (value: unknown): boolean =>
  isRecord(value) && ["t", "h", "w"].every((side) => isCount(value[side]));
export const hasMethods = (value: unknown, ...names: readonly string[]): boolean =>
  isRecord(value) && names.every((name) => isFunction(value[name]));

export const oneOf = (values: readonly string[]): Rule => ({
  expected: `one of ${values.join(", ")}`,
  accepts: (value) => values.some((known) => known === value),
});
export const listOf = (expected: string, accepts: (element: unknown) => boolean): Rule => ({
  expected,
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(accepts),
});
export const COUNT: Rule = { expected: "a positive whole number", accepts: isCount };
export const LIMIT: Rule = {
  expected: "a positive whole number, or Infinity for no limit",
  accepts: (value) => isCount(value) || value === Number.POSITIVE_INFINITY,
};
export const SIZE: Rule = {
  expected: "a number of bytes, 0 for none",
  accepts: (value) => typeof value === "number" && value >= 0,
};

/** Maximum number of problems in one message. */
const MAX_NAMED = 10;

/**
 * Checks that the options are an object with known names and valid values. Options may come from files, or from untyped
 * JavaScript.
 * @param owner for the message: "EncoderEngine.create"
 * @param compilationConfigIs for messages: the correct location of a compilation config's key
 * @throws VG_ARGUMENT_INVALID naming each problem; `details.problems` has them as a list
 */
export function checkRules(
  owner: string,
  options: unknown,
  rules: Readonly<Record<string, Rule>>,
  compilationConfigIs: string,
): asserts options is object {
  const problems = isRecord(options)
    ? problemsOf(options, rules, "", compilationConfigIs)
    : [`they are ${describe(options)}, and must be an object`];
  if (problems.length === 0) return;
  const more = problems.length > MAX_NAMED ? `; and ${problems.length - MAX_NAMED} more` : "";
  const text = problems.slice(0, MAX_NAMED).join("; ");
  throw new VitgraphError("VG_ARGUMENT_INVALID", `the options of ${owner} are invalid: ${text}${more}`, {
    details: { problems: problems.slice(0, MAX_NAMED) },
  });
}

function problemsOf(
  options: object,
  rules: Readonly<Record<string, Rule>>,
  path: string,
  compilationConfigIs: string,
): readonly string[] {
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
    if (value === undefined) return [];
    if (rule.accepts(value)) {
      if (rule.fields === undefined) return [];
      return problemsOf(value as object, rule.fields, `${path}${name}.`, compilationConfigIs);
    }
    return [`${quoted} is ${describe(value)}, and must be ${rule.expected}`];
  });
}
