/**
 * From a merged document to a config: keys known or refused, values coerced and validated, rules obeyed, defaults
 * filled in. Finds all problems, not the first.
 */

import { coerce } from "./coerce.js";
import type { CompilationConfig } from "./generated/types.js";
import { type ValidationError, validate } from "./generated/validate.js";
import type { MergedLayers } from "./layers.js";
import { nearestKey } from "./nearest-key.js";
import { fromPointer, pointerTo, toPointer } from "./pointer.js";
import type { ConfigNote, ConfigProblem, Place } from "./problem.js";
import { RULES, VLLM_TEXTS } from "./rules.js";
import {
  compilationConfigSchema,
  dereference,
  describeExpected,
  type SchemaNode,
  schemaAt,
  writableKeys,
} from "./schema.js";
import { bareObject, isRecord, plain, show, valueAt } from "./value.js";

export interface Checked {
  /** Complete, but only to be trusted where there are no problems. */
  readonly config: CompilationConfig;
  readonly problems: readonly ConfigProblem[];
  readonly notes: readonly ConfigNote[];
}

type Locate = (pointer: string, part?: "key" | "value") => Place;

export function check(merged: MergedLayers, source: string): Checked {
  const locate: Locate = (pointer, part) => merged.locate(pointer, part) ?? { source };
  const keys = checkKeys(merged.value, compilationConfigSchema, "", locate);
  // What `key+=1,2` appends is text by nature: reading it as numbers is nothing to report.
  const notes = keys.notes.filter(
    (note) => note.kind !== "coerced" || merged.layerOf(note.pointer)?.form !== "append",
  );
  const invalid = validationProblems(keys.value, locate);
  const config = withDefaults(keys.value, compilationConfigSchema) as unknown as CompilationConfig;
  const broken = brokenRules(config, [...keys.problems, ...invalid], locate);
  const problems = [...keys.problems, ...invalid, ...broken].sort(
    (a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
  return { config, problems, notes };
}

interface CheckedKeys {
  /** The fields that are known, coerced. */
  readonly value: Record<string, unknown>;
  readonly problems: ConfigProblem[];
  readonly notes: ConfigNote[];
}

/** Takes out keys that cannot be used, says what is to be said about the others, and coerces their values. */
function checkKeys(fields: object, schema: SchemaNode, pointer: string, locate: Locate): CheckedKeys {
  const result: CheckedKeys = { value: bareObject(), problems: [], notes: [] };
  const { properties = {} } = dereference(schema);
  for (const [name, field] of Object.entries(fields)) {
    const at = pointerTo(pointer, name);
    const key = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (key === undefined) {
      result.problems.push(unknownKey(name, schema, at, locate));
      continue;
    }
    const refused = key["x-vitgraph-refused"];
    if (refused !== undefined) {
      result.problems.push({
        ...locate(at, "key"),
        pointer: at,
        message: `"${name}" cannot be set. ${refused.reason.replace(/\.$/, "")}`,
        expected: "no such key",
        remedy: refused.remedy,
      });
      continue;
    }
    // Keys of pass_config share its scope; one note for all of them is enough.
    if (pointer === "") result.notes.push(...keyNotes(name, key, at, locate));
    if (key["x-vitgraph-scope"] === "editor") continue;
    if (dereference(key).properties !== undefined && isRecord(field)) {
      const nested = checkKeys(field, key, at, locate);
      result.value[name] = nested.value;
      result.problems.push(...nested.problems);
      result.notes.push(...nested.notes);
      continue;
    }
    result.value[name] = coerce(field, key, (path, from, to) => {
      const place = at + toPointer(path);
      result.notes.push({
        ...locate(place),
        kind: "coerced",
        level: "info",
        pointer: place,
        message: `${show(from)} is read as ${show(to)}`,
      });
    });
  }
  return result;
}

function unknownKey(name: string, schema: SchemaNode, pointer: string, locate: Locate): ConfigProblem {
  const known = writableKeys(schema);
  const nearest = nearestKey(name, known);
  const parent = fromPointer(pointer).slice(0, -1).join(".");
  return {
    ...locate(pointer, "key"),
    pointer,
    message: `"${name}" is not a key of ${parent === "" ? "the compilation config" : parent}`,
    expected: nearest === undefined ? "a known key" : `"${nearest}"`,
    remedy:
      nearest === undefined
        ? "remove it, or see `vitgraph config schema` for the keys"
        : `did you mean "${nearest}"?`,
  };
}

function keyNotes(name: string, key: SchemaNode, pointer: string, locate: Locate): ConfigNote[] {
  const note = (kind: ConfigNote["kind"], level: ConfigNote["level"], message: string): ConfigNote => ({
    ...locate(pointer, "key"),
    kind,
    level,
    pointer,
    message,
  });
  const notes: ConfigNote[] = [];
  if (key["x-vitgraph-scope"] === "language-model") {
    notes.push(
      note("language-model", "info", `"${name}" is not the encoder's: it is checked, and passed over`),
    );
  }
  const ignored = key["x-vitgraph-ignored"];
  if (ignored !== undefined) notes.push(note("ignored", "info", `"${name}" has no effect: ${ignored}`));
  if (key["x-vitgraph-vllm"] === "refused") {
    // An editor's key is there on purpose.
    const level = key["x-vitgraph-scope"] === "editor" ? "info" : "warning";
    notes.push(note("not-in-vllm", level, `"${name}" is refused by today's vLLM`));
  }
  return notes;
}

/** One problem for each value that the schema refuses. */
function validationProblems(value: Record<string, unknown>, locate: Locate): ConfigProblem[] {
  if (validate(value)) return [];
  const byMessage = new Map<string, ConfigProblem>();
  const seen = new Set<string>();
  for (const error of validate.errors ?? []) {
    if (seen.has(error.instancePath)) continue;
    seen.add(error.instancePath);
    const problem = describeInvalid(error, value, locate);
    // A list with two wrong members is one problem where the message speaks of the list.
    if (!byMessage.has(problem.message)) byMessage.set(problem.message, problem);
  }
  return [...byMessage.values()];
}

function describeInvalid(
  error: ValidationError,
  root: Record<string, unknown>,
  locate: Locate,
): ConfigProblem {
  const pointer = error.instancePath;
  const segments = fromPointer(pointer);
  const node = schemaAt(segments) ?? {};
  const given = valueAt(root, pointer);
  const expected =
    error.keyword === "maximum" ? `an integer up to ${Number.MAX_SAFE_INTEGER}` : describeExpected(node);
  const vllm = VLLM_TEXTS.find((text) => text.keyword === error.keyword && text.pointer.test(pointer));
  return {
    ...locate(pointer),
    pointer,
    message:
      vllm?.message(root[segments[0]!]) ??
      (node["x-vitgraph-expected"] === undefined
        ? `${nameOf(segments)} cannot be ${show(given)}`
        : `${nameOf(segments)} is ${show(given)}, and must be ${expected}`),
    expected,
    remedy: node["x-vitgraph-expected"]?.remedy ?? remedyFor(given, node, expected),
  };
}

function remedyFor(given: unknown, node: SchemaNode, expected: string): string {
  const values = (node["x-vitgraph-names"] ?? node.enum ?? []).filter((value) => typeof value === "string");
  const nearest = typeof given === "string" ? nearestKey(given, values) : undefined;
  if (nearest !== undefined) return `did you mean "${nearest}"?`;
  if (typeof given === "string" && /^[\d.]+[kmgt]$/i.test(given)) {
    return "write the number out; suffixes are for dotted arguments, such as -cc.key=1k";
  }
  return `use ${expected}`;
}

function brokenRules(
  config: CompilationConfig,
  problems: readonly ConfigProblem[],
  locate: Locate,
): ConfigProblem[] {
  const invalid = new Set(problems.map((problem) => fromPointer(problem.pointer)[0]));
  return RULES.filter((rule) => !rule.keys.some((key) => invalid.has(key))).flatMap((rule) => {
    const breach = rule.check(config);
    return breach === undefined ? [] : [{ ...locate(breach.pointer), ...breach }];
  });
}

/** All keys of the resolved config in the schema's order, given or by default. */
function withDefaults(given: Record<string, unknown>, schema: SchemaNode): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  for (const [name, key] of Object.entries(dereference(schema).properties ?? {})) {
    if (!isResolvedKey(name, key)) continue;
    const node = dereference(key);
    const value = given[name];
    if (node.properties !== undefined) entries.push([name, withDefaults(isRecord(value) ? value : {}, node)]);
    else entries.push([name, plain(value === undefined ? node.default : value)]);
  }
  return Object.fromEntries(entries);
}

/** Whether the key is in the resolved config: not an old name, not refused, not without effect. */
export function isResolvedKey(name: string, key: SchemaNode): boolean {
  if (key["x-vitgraph-scope"] === "editor" || key["x-vitgraph-refused"] !== undefined) return false;
  if (key["x-vitgraph-alias-of"] !== undefined) return false;
  // Compared with the checkpoint by the linter, so it has to come through.
  return key["x-vitgraph-ignored"] === undefined || name === "encoder_spatial_merge_size";
}

/** `pass_config.enable_sp`, `encoder_cudagraph_token_budgets[1]`. */
function nameOf(segments: readonly string[]): string {
  return segments
    .map((segment, index) => (/^\d+$/.test(segment) ? `[${segment}]` : `${index === 0 ? "" : "."}${segment}`))
    .join("");
}
