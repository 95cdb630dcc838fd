/**
 * Turns a merged document into a config: refuses unknown keys, coerces and validates values, checks rules, fills in
 * defaults. Reports all problems, not only the first.
 */

import { describe, isRecord, nearestKey, shorten } from "@vitgraph/errors";
import { coerce } from "./coerce.js";
import { damageOf } from "./damage.js";
import { type ConfigFix, fixOf, type Repair, remove, rename, set } from "./fix.js";
import type { CompilationConfig } from "./generated/types.js";
import { type ValidationError, validate } from "./generated/validate.js";
import type { MergedLayers } from "./layers.js";
import { fromPointer, parentPointer, pointerTo, toPointer } from "./pointer.js";
import { type ConfigNote, type ConfigProblem, type Place, ProblemList } from "./problem.js";
import { type Breach, RULES, VLLM_TEXTS } from "./rules.js";
import {
  compilationConfigSchema,
  dereference,
  describeExpected,
  type SchemaNode,
  schemaAt,
  typesOf,
  writableKeys,
} from "./schema.js";
import { bareObject, plain, show, valueAt } from "./value.js";

export interface Checked {
  /** Complete; valid only if there are no problems. */
  readonly config: CompilationConfig;
  readonly problems: ProblemList;
  readonly notes: readonly ConfigNote[];
}

/** Places and edits of the values in the text that gave the config. */
interface Origin {
  locate(pointer: string, part?: "key" | "value"): Place;
  fix(repair: Repair | undefined): { readonly fix?: ConfigFix };
}

export function check(merged: MergedLayers, source: string): Checked {
  const origin: Origin = {
    locate: (pointer, part) => merged.locate(pointer, part) ?? { source },
    fix: (repair) => fixOf(merged, repair),
  };
  const problems = new ProblemList();
  // Keys with a problem: rules that read one are skipped.
  const invalid = new Set<string>();
  const keys = checkKeys(merged.value, compilationConfigSchema, "", origin, problems, invalid);
  // `key+=1,2` always appends text, so reading it as numbers is not worth a note.
  const notes = keys.notes.filter(
    (note) => note.kind !== "coerced" || merged.layerOf(note.pointer)?.form !== "append",
  );
  addInvalidValues(keys.value, origin, problems, invalid);
  const config = withDefaults(keys.value, compilationConfigSchema) as unknown as CompilationConfig;
  addBrokenRules(config, origin, problems, invalid);
  problems.sortByPlace();
  return { config, problems, notes };
}

interface CheckedKeys {
  /** The fields that are known, coerced. */
  readonly value: Record<string, unknown>;
  readonly notes: ConfigNote[];
}

/** Reports unknown and refused keys, notes on the others, and coerces their values. */
function checkKeys(
  fields: object,
  schema: SchemaNode,
  pointer: string,
  origin: Origin,
  problems: ProblemList,
  invalid: Set<string>,
): CheckedKeys {
  const result: CheckedKeys = { value: bareObject(), notes: [] };
  const { properties = {} } = dereference(schema);
  for (const [name, field] of Object.entries(fields)) {
    const at = pointerTo(pointer, name);
    const key = Object.hasOwn(properties, name) ? properties[name] : undefined;
    const refused = key?.["x-vitgraph-refused"];
    if (key === undefined || refused !== undefined) {
      if (pointer !== "") invalid.add(fromPointer(pointer)[0]!);
      problems.add(() =>
        refused === undefined
          ? unknownKey(name, fields, schema, at, origin)
          : refusedKey(name, refused, at, origin),
      );
      continue;
    }
    // Keys of pass_config share its scope; one note for all of them is enough.
    if (pointer === "") result.notes.push(...keyNotes(name, key, at, origin));
    if (key["x-vitgraph-scope"] === "editor") continue;
    if (dereference(key).properties !== undefined && isRecord(field)) {
      const nested = checkKeys(field, key, at, origin, problems, invalid);
      result.value[name] = nested.value;
      result.notes.push(...nested.notes);
      continue;
    }
    result.value[name] = coerce(field, key, (path, from, to) => {
      const place = at + toPointer(path);
      result.notes.push({
        ...origin.locate(place),
        kind: "coerced",
        level: "info",
        pointer: place,
        message: `${show(from)} is read as ${show(to)}`,
        repair: set(place, to),
      });
    });
  }
  return result;
}

function unknownKey(
  name: string,
  fields: object,
  schema: SchemaNode,
  pointer: string,
  origin: Origin,
): ConfigProblem {
  const nearest = nearestKey(name, writableKeys(schema));
  const parent = fromPointer(pointer).slice(0, -1).join(".");
  const owner = ownerOf(name, parent);
  const isTypo = nearest !== undefined && owner === undefined && !Object.hasOwn(fields, nearest);
  return {
    ...origin.locate(pointer, "key"),
    pointer,
    message: `${describe(name)} is not a key of ${parent === "" ? "the compilation config" : parent}`,
    expected: nearest === undefined ? "a known key" : `"${nearest}"`,
    remedy:
      owner ??
      (nearest === undefined
        ? "remove it, or see `vitgraph config schema` for the keys"
        : `did you mean "${nearest}"?`),
    ...origin.fix(isTypo ? rename(pointer, nearest) : undefined),
  };
}

/** The remedy for a key that belongs one level higher or lower. */
function ownerOf(name: string, parent: string): string | undefined {
  const { properties = {} } = compilationConfigSchema;
  if (parent !== "" && Object.hasOwn(properties, name))
    return "move it out: it is a key of the compilation config";
  const owner = Object.entries(properties).find(([, key]) =>
    Object.hasOwn(dereference(key).properties ?? {}, name),
  )?.[0];
  return owner === undefined ? undefined : `move it into ${owner}`;
}

function refusedKey(
  name: string,
  { reason, remedy, renamedTo }: NonNullable<SchemaNode["x-vitgraph-refused"]>,
  pointer: string,
  origin: Origin,
): ConfigProblem {
  return {
    ...origin.locate(pointer, "key"),
    pointer,
    message: `"${name}" cannot be set. ${reason.replace(/\.$/, "")}`,
    expected: "no such key",
    remedy,
    ...origin.fix(
      renamedTo !== undefined
        ? rename(pointer, renamedTo)
        : remedy.startsWith("remove")
          ? remove(pointer)
          : undefined,
    ),
  };
}

function keyNotes(name: string, key: SchemaNode, pointer: string, origin: Origin): ConfigNote[] {
  const note = (kind: ConfigNote["kind"], level: ConfigNote["level"], message: string): ConfigNote => ({
    ...origin.locate(pointer, "key"),
    kind,
    level,
    pointer,
    message,
  });
  const notes: ConfigNote[] = [];
  if (key["x-vitgraph-scope"] === "language-model") {
    notes.push(
      note("language-model", "info", `"${name}" belongs to the language model: it is checked, and ignored`),
    );
  }
  const ignored = key["x-vitgraph-ignored"];
  if (ignored !== undefined) {
    const message = `"${name}" has no effect: ${ignored}`;
    notes.push({ ...note("ignored", "info", message), repair: remove(pointer) });
  }
  if (key["x-vitgraph-vllm"] === "refused") {
    // An editor's key is intended.
    const level = key["x-vitgraph-scope"] === "editor" ? "info" : "warning";
    notes.push(note("not-in-vllm", level, `"${name}" is refused by today's vLLM`));
  }
  return notes;
}

/** One problem for each value that the schema rejects, or for the whole list if the message is about the list. */
function addInvalidValues(
  value: Record<string, unknown>,
  origin: Origin,
  problems: ProblemList,
  invalid: Set<string>,
): void {
  if (validate(value)) return;
  const seen = new Set<string>();
  for (const error of validate.errors ?? []) {
    const pointer = error.instancePath;
    const text = VLLM_TEXTS.find((each) => each.keyword === error.keyword && each.pointer.test(pointer));
    const subject = text?.isOfList === true ? `${parentPointer(pointer)} ${error.keyword}` : pointer;
    if (seen.has(subject)) continue;
    seen.add(subject).add(pointer);
    invalid.add(fromPointer(pointer)[0] ?? "");
    problems.add(() => invalidValue(error, value, text, origin));
  }
}

function invalidValue(
  { instancePath: pointer, keyword }: ValidationError,
  root: Record<string, unknown>,
  text: (typeof VLLM_TEXTS)[number] | undefined,
  origin: Origin,
): ConfigProblem {
  const segments = fromPointer(pointer);
  const node = schemaAt(segments) ?? {};
  const given = valueAt(root, pointer);
  const place = { ...origin.locate(pointer), pointer };
  if (keyword === "maximum") {
    const most = node.maximum ?? Number.MAX_SAFE_INTEGER;
    const fact =
      node.maximum === undefined
        ? `cannot be ${show(given)}`
        : `is ${show(given)}, and may be ${most} at most`;
    return {
      ...place,
      message: `${nameOf(segments)} ${fact}`,
      expected: `an integer up to ${most}`,
      remedy: `use an integer up to ${most}`,
    };
  }
  if (keyword === "maxItems" && node["x-vitgraph-expected"] === undefined) {
    return {
      ...place,
      message: `${nameOf(segments)} has ${(given as unknown[]).length} members, and may have ${node.maxItems}`,
      expected: `at most ${node.maxItems} members`,
      remedy: "remove some: a graph is captured for each, and a handful wastes little",
    };
  }
  const expected = describeExpected(node);
  const special = node["x-vitgraph-expected"];
  return {
    ...place,
    message:
      text?.message(root[segments[0]!]) ??
      (special === undefined
        ? `${nameOf(segments)} cannot be ${show(given)}`
        : `${nameOf(segments)} is ${show(given)}, and must be ${expected}`),
    expected,
    ...(special === undefined
      ? remedyFor(given, node, expected, (value) => origin.fix(set(pointer, value)))
      : { remedy: special.remedy }),
  };
}

function remedyFor(
  given: unknown,
  node: SchemaNode,
  expected: string,
  write: (value: unknown) => { readonly fix?: ConfigFix },
): Pick<ConfigProblem, "remedy" | "fix"> {
  // `-cc.pass_config={enable_sp:true}` is a string where the JSON in it does not parse.
  if (typeof given === "string" && /^\s*[{[]/.test(given) && !typesOf(node).includes("string")) {
    const damage = damageOf(given, "argument");
    if (damage !== undefined) return { remedy: `${damage.fact}: ${damage.remedy}` };
  }
  const values = (node["x-vitgraph-names"] ?? node.enum ?? []).filter((value) => typeof value === "string");
  const nearest = typeof given === "string" ? nearestKey(given, values) : undefined;
  if (nearest !== undefined) return { remedy: `did you mean "${nearest}"?`, ...write(nearest) };
  if (typeof given === "string" && /^[\d.]+[kmgt]$/i.test(given)) {
    return { remedy: "write the number out; suffixes are for dotted arguments, such as -cc.key=1k" };
  }
  return { remedy: `use ${expected}` };
}

function addBrokenRules(
  config: CompilationConfig,
  origin: Origin,
  problems: ProblemList,
  invalid: ReadonlySet<string>,
): void {
  for (const rule of RULES) {
    if (rule.keys.some((key) => invalid.has(key))) continue;
    const breach = rule.check(config);
    if (breach !== undefined) problems.add(() => brokenRule(breach, origin));
  }
}

function brokenRule({ repair, ...breach }: Breach, origin: Origin): ConfigProblem {
  return { ...origin.locate(breach.pointer), ...breach, ...origin.fix(repair) };
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

/** True if the key is in the resolved config: not an old name, not refused, not ignored. */
export function isResolvedKey(name: string, key: SchemaNode): boolean {
  if (key["x-vitgraph-scope"] === "editor" || key["x-vitgraph-refused"] !== undefined) return false;
  if (key["x-vitgraph-alias-of"] !== undefined) return false;
  // The linter compares this key with the checkpoint.
  return key["x-vitgraph-ignored"] === undefined || name === "encoder_spatial_merge_size";
}

/** `pass_config.enable_sp`, `encoder_cudagraph_token_budgets[1]`. */
function nameOf(segments: readonly string[]): string {
  return segments
    .map((segment, index) =>
      /^\d+$/.test(segment) ? `[${segment}]` : `${index === 0 ? "" : "."}${shorten(segment)}`,
    )
    .join("");
}
