/**
 * vLLM's type coercions. Its config classes validate in pydantic's lax mode, so `"true"`, `"on"` and 1 are booleans
 * there, and "64" and 64.0 are integers; enums go by name in any case, or by number. Values that cannot be coerced stay
 * as they are, and fail validation.
 */
import { dereference, type SchemaNode, typesOf } from "./schema.js";
import { bareObject } from "./value.js";

const TRUE_WORDS = new Set(["1", "on", "t", "true", "y", "yes"]);
const FALSE_WORDS = new Set(["0", "off", "f", "false", "n", "no"]);

/** Called for each coerced value. `path` starts at the root of the value. */
export type OnCoerced = (path: readonly (string | number)[], from: unknown, to: unknown) => void;

/** The value as the schema's type, if possible. Members of objects and lists are coerced too. */
export function coerce(
  value: unknown,
  schema: SchemaNode,
  onCoerced: OnCoerced = () => {},
  path: readonly (string | number)[] = [],
): unknown {
  const node = dereference(schema);
  if (Array.isArray(value)) {
    const { items } = node;
    return items === undefined
      ? value
      : value.map((item, index) => coerce(item, items, onCoerced, [...path, index]));
  }
  if (typeof value === "object" && value !== null) return coerceFields(value, node, onCoerced, path);
  const coerced = coerceScalar(value, node);
  // A different spelling of a name is not a coercion; YAML's boolean `mode: off` is.
  const isSpelling = node["x-vitgraph-names"] !== undefined && typeof value !== "boolean";
  if (coerced !== value && !isSpelling) onCoerced(path, value, coerced);
  return coerced;
}

function coerceFields(
  value: object,
  node: SchemaNode,
  onCoerced: OnCoerced,
  path: readonly (string | number)[],
): Record<string, unknown> {
  const fields = bareObject();
  for (const [name, field] of Object.entries(value)) {
    const free = typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
    const schema =
      node.properties !== undefined && Object.hasOwn(node.properties, name) ? node.properties[name] : free;
    fields[name] = schema === undefined ? field : coerce(field, schema, onCoerced, [...path, name]);
  }
  return fields;
}

function coerceScalar(value: unknown, node: SchemaNode): unknown {
  const names = node["x-vitgraph-names"];
  if (names !== undefined) return coerceName(value, names, node.enum ?? []);
  // An enum of booleans has no `type`.
  const types = node.enum?.every((member) => typeof member === "boolean") ? ["boolean"] : typesOf(node);
  const alternatives = node.anyOf?.flatMap(typesOf) ?? [];
  if (types.includes("boolean")) return toBoolean(value);
  if (types.includes("integer")) return toNumber(value, INTEGER_TEXT);
  // The alternative to an integer may be a string, so text stays text.
  if (alternatives.includes("integer")) return typeof value === "boolean" ? Number(value) : value;
  if (types.includes("number")) return toNumber(value, NUMBER_TEXT);
  return value;
}

function coerceName(value: unknown, names: readonly string[], members: readonly unknown[]): unknown {
  if (typeof value === "string") {
    const upper = value.toUpperCase();
    return names.includes(upper) ? upper : value;
  }
  // In Python false equals 0 and true equals 1, as members of an enum too.
  const number = typeof value === "boolean" ? Number(value) : value;
  return typeof number === "number" && members.includes(number) ? names[number] : value;
}

function toBoolean(value: unknown): unknown {
  if (value === 0 || value === 1) return value === 1;
  if (typeof value !== "string") return value;
  const word = value.toLowerCase();
  if (TRUE_WORDS.has(word)) return true;
  return FALSE_WORDS.has(word) ? false : value;
}

/** Python's integers in text: underscores between digits, and a fraction of zeros. */
const INTEGER_TEXT = /^\s*[+-]?\d+(_\d+)*(\.0+)?\s*$/;
const NUMBER_TEXT = /^\s*[+-]?(\d+(_\d+)*(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*$/i;

function toNumber(value: unknown, pattern: RegExp): unknown {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "string" && pattern.test(value) ? Number(value.replaceAll("_", "")) : value;
}
