/** Options of a device: a name that does not exist is an error, with the nearest one that does. */
import { describe, nearestKey, VitgraphError } from "@vitgraph/errors";

/** The names of all of an interface's options: the type checker asks for each. */
export function optionNames<T extends object>(table: Record<keyof T, 0>): readonly (keyof T & string)[] {
  return Object.keys(table) as (keyof T & string)[];
}

/** Those of the options that have these names and are given. */
export function pickOptions<T extends object>(options: T, names: readonly (keyof T & string)[]): Partial<T> {
  return Object.fromEntries(
    names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  ) as Partial<T>;
}

/**
 * @param synonyms other words for known values, which are guessed and not taken
 * @throws VG_ARGUMENT_INVALID where `value` is none of `known`.
 */
export function checkChoice(
  name: string,
  value: unknown,
  known: readonly string[],
  synonyms: Readonly<Record<string, string>> = {},
): void {
  if (known.includes(value as string)) return;
  const nearest =
    typeof value !== "string"
      ? undefined
      : Object.hasOwn(synonyms, value)
        ? synonyms[value]
        : nearestKey(value, known);
  const choice = `use one of ${known.join(", ")}`;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `${name} is ${describe(value)}`, {
    remedy: nearest === undefined ? choice : `did you mean ${nearest}? Or ${choice}`,
    details: { known, ...(nearest === undefined ? {} : { nearest }) },
  });
}
