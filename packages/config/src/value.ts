/** JSON values as JavaScript has them. */
import { fromPointer } from "./pointer.js";

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value that a pointer names, or undefined. */
export function valueAt(value: unknown, pointer: string): unknown {
  let current = value;
  for (const segment of fromPointer(pointer)) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, segment)) return undefined;
    current = (current as Record<string, unknown>)[segment];
  }
  return current;
}

/** An object without a prototype, in which no key is special: what is built key by key from foreign text. */
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

/** True where an object contains itself, which no JSON does. */
export function isCyclic(value: unknown, ancestors: readonly unknown[] = []): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (ancestors.includes(value)) return true;
  return Object.values(value).some((member) => isCyclic(member, [...ancestors, value]));
}

/** A value as JSON, shortened: messages are one line. */
export function show(value: unknown): string {
  const text =
    JSON.stringify(value, (_, part) => (typeof part === "bigint" ? `${part}` : part)) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`;
}
