/** The one entry point for untrusted configs: text, objects, files and arguments become a validated config. */
import { describe, isRecord, shorten } from "@vitgraph/errors";
import { excessOf } from "./bounds.js";
import { check } from "./check.js";
import { coerce } from "./coerce.js";
import { doubleEncoding } from "./damage.js";
import { type ConfigDocument, parseJsonDocument, valueDocument } from "./document.js";
import { type ConfigChange, fixOf, type Repair, remove, rename, type TextEdit } from "./fix.js";
import type { CompilationConfig, CompilationConfigInput } from "./generated/types.js";
import { type Layer, type LayerRank, mergeLayers } from "./layers.js";
import { fromPointer, toPointer } from "./pointer.js";
import {
  type ConfigNote,
  type ConfigProblem,
  configInvalid,
  excessProblem,
  formatPlace,
  limitNotes,
  type Place,
  ProblemList,
} from "./problem.js";
import { compilationConfigSchema } from "./schema.js";
import { bareObject, show } from "./value.js";

/** Origin of a value of a resolved config. */
export type ConfigOrigin =
  | { readonly kind: "default" }
  /** From the value or text that was handed to the parser, a `--config` file, or an argument. */
  | { readonly kind: LayerRank; readonly place: Place }
  /** Decided by `-O`; `place` is absent if it was not given. */
  | { readonly kind: "optimization-level"; readonly level: number; readonly place?: Place }
  | { readonly kind: "enforce-eager"; readonly place?: Place };

/** A config with the origin of its values. */
export interface ResolvedConfig {
  /** Every key, under its current name and in one spelling. */
  readonly config: CompilationConfig;
  /** Notes on old names, coerced values, and keys of the language model. */
  readonly notes: readonly ConfigNote[];
  /** Origin of the value at a JSON pointer ("/pass_config/enable_sp"). */
  origin(pointer: string): ConfigOrigin;
  /** A change as edits of the text that gave the value; undefined if there is no text, or it cannot be edited this way. */
  edits(change: ConfigChange): readonly TextEdit[] | undefined;
}

/** Options of {@link parseCompilationConfig}. */
export interface ParseOptions {
  /** The input's name in messages, such as the file's path. */
  readonly source?: string;
}

/**
 * Parses a compilation config as vLLM takes it: JSON text, an object, a document with positions, or a number, which is a
 * `mode` as in `LLM(compilation_config=3)`.
 *
 * @throws VG_CONFIG_INVALID with every problem found, in `details.problems` ({@link ConfigProblem}).
 */
export function parseCompilationConfig(
  input: string | number | CompilationConfigInput | ConfigDocument | Readonly<Record<string, unknown>>,
  options: ParseOptions = {},
): ResolvedConfig {
  const document = toDocument(input, options.source ?? "compilation config");
  const { problems, ...resolved } = resolveLayers(
    [{ rank: "input", form: "json", document }],
    document.source,
  );
  problems.throwIfAny();
  return { ...resolved, notes: limitNotes(resolved.notes) };
}

/** A resolved config and its problems, to which callers add their own. */
export interface LayeredConfig extends ResolvedConfig {
  readonly problems: ProblemList;
}

/** Merges and checks layers, the weakest first. `source` is the place of problems that no layer gives one. */
export function resolveLayers(layers: readonly Layer[], source: string): LayeredConfig {
  const problems = new ProblemList();
  const notes: ConfigNote[] = [];
  const usable: Layer[] = [];
  for (const layer of layers) {
    const { document } = layer;
    if (!isRecord(document.value)) {
      problems.add(() => notAnObject(document));
      continue;
    }
    for (const pointer of document.duplicates) notes.push(duplicateKey(pointer, document));
    const renamed = renameOldKeys(document);
    for (const problem of renamed.problems) problems.add(() => problem);
    notes.push(...renamed.notes);
    usable.push({ ...layer, document: renamed.document });
  }
  const merged = mergeLayers(usable);
  for (const { pointer, before, after } of merged.overridden) {
    notes.push({
      ...after.place,
      kind: "duplicate",
      level: "warning",
      pointer,
      message: `${shorten(pointer.slice(1).replaceAll("/", "."))} is given twice: ${show(after.value)} here replaces ${show(before.value)} of ${formatPlace(before.place)}`,
    });
  }
  const checked = check(merged, source);
  problems.addAll(checked.problems);
  return {
    config: checked.config,
    problems,
    notes: [...notes, ...checked.notes],
    origin(pointer) {
      const layer = merged.layerOf(pointer);
      const place = merged.locate(pointer);
      return layer === undefined || place === undefined ? { kind: "default" } : { kind: layer.rank, place };
    },
    edits: merged.edits,
  };
}

function toDocument(input: Parameters<typeof parseCompilationConfig>[0], source: string): ConfigDocument {
  if (typeof input === "string") return parseJsonDocument(input, source);
  if (typeof input === "number") return valueDocument({ mode: input }, source);
  if (isDocument(input)) return input;
  const excess = excessOf(input);
  if (excess === undefined) return valueDocument(input, source);
  throw configInvalid([excessProblem("the compilation config", excess, { source })]);
}

function isDocument(input: object | null): input is ConfigDocument {
  return (
    typeof input === "object" && input !== null && "locate" in input && typeof input.locate === "function"
  );
}

function notAnObject(document: ConfigDocument): ConfigProblem {
  const mode = typeof document.value === "number" ? `, or {"mode": ${document.value}}` : "";
  const damage = doubleEncoding(document.value);
  return {
    ...document.locate(""),
    pointer: "",
    message: `the compilation config is ${damage?.fact ?? `${show(document.value)}, and must be a JSON object`}`,
    expected: "a JSON object",
    remedy: damage?.remedy ?? `use {"key": value, …}${mode}`,
  };
}

function duplicateKey(pointer: string, document: ConfigDocument): ConfigNote {
  return {
    ...document.locate(pointer, "key"),
    kind: "duplicate",
    level: "warning",
    pointer,
    message: `${describe(fromPointer(pointer).at(-1))} occurs twice: the last one counts`,
    repair: { title: "remove the first one", change: { kind: "remove-first", pointer } },
  };
}

/** The current name of each old one, from the schema. */
const CURRENT_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries(compilationConfigSchema.properties ?? {}).flatMap(([old, key]) => {
    const current = key["x-vitgraph-alias-of"];
    return current === undefined ? [] : [[old, current] as const];
  }),
);

/** The document with old names replaced. It is a problem if both names are given different values. */
function renameOldKeys(document: ConfigDocument): {
  document: ConfigDocument;
  problems: ConfigProblem[];
  notes: ConfigNote[];
} {
  const fields = document.value as Record<string, unknown>;
  const problems: ConfigProblem[] = [];
  const notes: ConfigNote[] = [];
  const oldNames = new Map<string, string>();
  const value = bareObject();
  for (const [name, field] of Object.entries(fields)) {
    const current = CURRENT_NAMES.get(name);
    if (current === undefined) {
      value[name] = field;
      continue;
    }
    const place = document.locate(toPointer([name]), "key");
    // The old key's default was null, for "infer"; the current one says 0.
    const given = field === null ? 0 : field;
    if (Object.hasOwn(fields, current)) {
      if (!sameSetting(given, fields[current], current)) {
        problems.push({
          ...contradiction(name, current, fields, place),
          ...fixOf(document, remove(toPointer([name]), `remove "${name}"`)),
        });
      }
    } else {
      value[current] = given;
      oldNames.set(current, name);
    }
    notes.push({
      ...place,
      kind: "renamed",
      level: "warning",
      pointer: toPointer([name]),
      message: `"${name}" is now "${current}", and is read as the new one; vLLM refuses the old name`,
      ...(oldNames.has(current) ? { repair: repairOldName(name, current, field) } : {}),
    });
  }
  if (oldNames.size === 0 && notes.length === 0) return { document, problems, notes };
  const renamed: ConfigDocument = {
    source: document.source,
    value,
    duplicates: document.duplicates,
    open: (pointer) => document.open(pointer),
    locate(pointer, part) {
      const [first, ...rest] = fromPointer(pointer);
      const old = first === undefined ? undefined : oldNames.get(first);
      return document.locate(old === undefined ? pointer : toPointer([old, ...rest]), part);
    },
    edits(change) {
      const [first, ...rest] = fromPointer(change.pointer);
      const old = first === undefined ? undefined : oldNames.get(first);
      return document.edits(old === undefined ? change : { ...change, pointer: toPointer([old, ...rest]) });
    },
  };
  return { document: renamed, problems, notes };
}

/** The change names the current key; the renamed document maps it to the old one. */
function repairOldName(old: string, current: string, value: unknown): Repair {
  // null was the old key's default, and is not a value of the current key.
  return value === null
    ? remove(toPointer([current]), `remove "${old}"`)
    : rename(toPointer([current]), current);
}

function sameSetting(a: unknown, b: unknown, key: string): boolean {
  const schema = compilationConfigSchema.properties?.[key] ?? {};
  return coerce(a, schema) === coerce(b, schema);
}

function contradiction(
  old: string,
  current: string,
  fields: Record<string, unknown>,
  place: Place,
): ConfigProblem {
  return {
    ...place,
    pointer: toPointer([old]),
    message: `"${old}" is ${show(fields[old])} and "${current}" is ${show(fields[current])}, though both name the same setting`,
    expected: `only "${current}"`,
    remedy: `remove "${old}"`,
  };
}
