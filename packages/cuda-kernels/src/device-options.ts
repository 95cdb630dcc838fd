/** Options of a device: a name that does not exist is an error, with the nearest one that does. */
import { VitgraphError } from "@vitgraph/errors";

/** Longer values are cut in messages. */
const LONGEST_QUOTED = 60;

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

/** @throws VG_ARGUMENT_INVALID where `options` is no object or has a key that is none of `known`. */
export function checkOptions(owner: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the options of ${owner} are ${quote(options)}`, {
      remedy: `pass an object with some of ${known.join(", ")}`,
    });
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw unknownName(`${owner} has no option ${quote(key)}`, key, known);
  }
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
  const meant = typeof value === "string" && Object.hasOwn(synonyms, value) ? synonyms[value] : value;
  throw unknownName(`${name} is ${quote(value)}`, meant, known);
}

function unknownName(fact: string, value: unknown, known: readonly string[]): VitgraphError {
  const nearest = typeof value === "string" ? nearestName(value, known) : undefined;
  const choice = `use one of ${known.join(", ")}`;
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, {
    remedy: nearest === undefined ? choice : `did you mean ${nearest}? Or ${choice}`,
    details: { known, ...(nearest === undefined ? {} : { nearest }) },
  });
}

/** By edit distance; undefined where more than a third of the letters differ, since a guess would only confuse then. */
function nearestName(name: string, known: readonly string[]): string | undefined {
  const short = name.slice(0, LONGEST_QUOTED).toLowerCase();
  const distances = known.map((candidate) => editDistance(short, candidate.toLowerCase()));
  const least = Math.min(...distances);
  return least <= Math.max(1, Math.floor(short.length / 3)) ? known[distances.indexOf(least)] : undefined;
}

function editDistance(a: string, b: string): number {
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = last[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(last[column]! + 1, current[column - 1]! + 1, substitution));
    }
    last = current;
  }
  return last[b.length]!;
}

function quote(value: unknown): string {
  if (typeof value !== "string")
    return typeof value === "object" && value !== null ? "an object" : String(value);
  return JSON.stringify(value.length > LONGEST_QUOTED ? `${value.slice(0, LONGEST_QUOTED)}…` : value);
}
