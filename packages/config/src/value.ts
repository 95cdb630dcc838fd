/** JSON values in JavaScript. */
import { isRecord } from "@vitgraph/errors";
import { fromPointer } from "./pointer.js";

/** The value that a pointer names, or undefined. */
export function valueAt(value: unknown, pointer: string): unknown {
  let current = value;
  for (const segment of fromPointer(pointer)) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, segment)) return undefined;
    current = (current as Record<string, unknown>)[segment];
  }
  return current;
}

/** An object without a prototype, in which no key is special: for objects built from untrusted text. */
export function bareObject(): Record<string, unknown> {
  return Object.create(null);
}

/** {a: {b: value}} for the path [a, b]. */
export function nest(path: readonly string[], value: unknown): unknown {
  return path.reduceRight<unknown>((inner, key) => {
    const object = bareObject();
    object[key] = inner;
    return object;
  }, value);
}

/** A copy that can be merged into: made of bare objects, without absent fields. */
export function bareCopy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bareCopy);
  if (!isRecord(value)) return value;
  const fields = bareObject();
  for (const [name, field] of Object.entries(value)) if (field !== undefined) fields[name] = bareCopy(field);
  return fields;
}

/** A copy made of ordinary objects, in which even "__proto__" is only a key. */
export function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}

/** Most characters that {@link show} gives. */
const SHOWN_CHARACTERS = 60;

/** A value as JSON, shortened: messages are one line. Costs no more for a large value than for a small one. */
export function show(value: unknown): string {
  let members = SHOWN_CHARACTERS;
  // Visits at most as many members as characters are shown.
  function prune(node: unknown): unknown {
    if (typeof node === "bigint") return `${node}`;
    if (typeof node === "string") return node.slice(0, SHOWN_CHARACTERS + 1);
    if (typeof node !== "object" || node === null) return node;
    const isList = Array.isArray(node);
    const shown: [string, unknown][] = [];
    for (const name of isList ? node.keys() : Object.keys(node)) {
      if (--members < 0) break;
      shown.push([
        String(name).slice(0, SHOWN_CHARACTERS + 1),
        prune((node as Record<string, unknown>)[name]),
      ]);
    }
    return isList ? shown.map(([, member]) => member) : Object.fromEntries(shown);
  }
  const text = JSON.stringify(prune(value)) ?? String(value);
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS - 3)}…`;
}

/** Members that {@link listed} gives. */
const LISTED_MEMBERS = 10;

/** "[64, -1, 0]", or the first members and how many more there are. */
export function listed<T>(members: readonly T[], text: (member: T) => string = String): string {
  const more = members.length - LISTED_MEMBERS;
  const first = members.slice(0, LISTED_MEMBERS).map(text).join(", ");
  return more > 0 ? `[${first}, … and ${more.toLocaleString("en-US")} more]` : `[${first}]`;
}
