/**
 * A parsed text with the position of each value. This file reads JSON; `@vitgraph/config/yaml` reads YAML, with the
 * same interface. Independent of compilation configs.
 *
 * JSON is strict, as vLLM reads it: no comments, no trailing commas. A key that occurs twice keeps its last value, and
 * is listed in `duplicates`.
 */
import { scanJson } from "@vitgraph/errors";
import { type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import { MAX_DEPTH, MAX_TEXT_LENGTH } from "./bounds.js";
import { type Damage, damageOf } from "./damage.js";
import type { ConfigChange, TextEdit } from "./fix.js";
import { fromPointer, parentPointer, pointerTo } from "./pointer.js";
import { type ConfigProblem, configInvalid, excessProblem, type Place } from "./problem.js";
import { embedEdits, insertSpan, removeSpan, type Span } from "./text-edits.js";
import { bareObject, valueAt } from "./value.js";

/** A parsed text with the place of each value. */
export interface ConfigDocument {
  /** The text's name in messages: a path, an argument. */
  readonly source: string;
  readonly value: unknown;
  /** Pointers of keys that occur more than once. */
  readonly duplicates: readonly string[];
  /** The position of the value (or, on request, of its key); for an absent value, of its nearest ancestor. */
  locate(pointer: string, part?: "key" | "value"): Place;
  /** The value at `pointer` as a separate document, with pointers relative to it. A string is read as JSON text. */
  open(pointer: string): ConfigDocument;
  /** The change as edits of the text; undefined if there is no text or it cannot be edited so. */
  edits(change: ConfigChange): readonly TextEdit[] | undefined;
}

/** Place of an offset in the outermost text. */
export type LocateOffset = (offset: number) => Place;

/** Maps an edit of a JSON text to one of its enclosing text; undefined if it cannot be written there. */
export type EmbedEdit = (edit: TextEdit) => TextEdit | undefined;

/** Position of a JSON text in its enclosing text. */
export interface JsonPlace {
  readonly locate: LocateOffset;
  /** Absent: the text cannot be edited. */
  readonly embedEdit?: EmbedEdit;
}

interface JsonContext {
  /** If "argument", errors name damage by the shell, if any. */
  readonly from?: "argument" | "text";
  /** Absent: the text cannot be edited. */
  readonly embedEdit?: EmbedEdit;
}

/** Reads JSON text. Throws VG_CONFIG_INVALID with the place of each syntax error. */
export function parseJsonDocument(text: string, source: string): ConfigDocument {
  return readJson(text, source, offsetPlaces(text, source), { embedEdit: (edit) => edit });
}

/**
 * Reads an argument's JSON like {@link parseJsonDocument}; errors name damage by the shell, if any.
 * @param place of the JSON in a text, if the argument is part of one
 */
export function parseJsonArgument(
  text: string,
  source: string,
  place: JsonPlace = { locate: offsetPlaces(text, source) },
): ConfigDocument {
  return readJson(text, source, place.locate, { ...place, from: "argument" });
}

/** Reads JSON text inside another text; `locate` maps its positions. */
export function readJson(
  text: string,
  source: string,
  locate: LocateOffset,
  { from = "text", embedEdit }: JsonContext = {},
): ConfigDocument {
  if (text.length > MAX_TEXT_LENGTH) throw configInvalid([excessProblem("the JSON", "too long", locate(0))]);
  if (scanJson(text, MAX_DEPTH).isTooDeep)
    throw configInvalid([excessProblem("the JSON", "too deep", locate(0))]);
  // Replace the byte order mark of Windows editors with a space, which keeps the offsets.
  const json = text.startsWith("\uFEFF") ? ` ${text.slice(1)}` : text;
  const errors: ParseError[] = [];
  const root = parseTree(json, errors, { disallowComments: true, allowTrailingComma: false });
  if (errors.length > 0 || root === undefined) {
    const damage = damageOf(json, from);
    throw configInvalid(
      damage === undefined ? syntaxProblems(json, errors, locate) : [damageProblem(damage, locate(0))],
    );
  }
  return new JsonDocument(source, json, root, locate, embedEdit);
}

/** True if a text, JSON or not, is short and flat enough for a JSON parser. */
export function isTextReadable(text: string): boolean {
  return text.length <= MAX_TEXT_LENGTH && !scanJson(text, MAX_DEPTH).isTooDeep;
}

function damageProblem({ fact, remedy }: Damage, place: Place): ConfigProblem {
  return { ...place, pointer: "", message: `this is not JSON: ${fact}`, expected: "JSON", remedy };
}

/** A plain value as a document, with a name but no lines. */
export function valueDocument(value: unknown, source: string): ConfigDocument {
  return {
    source,
    value,
    duplicates: [],
    locate: () => ({ source }),
    edits: () => undefined,
    open(pointer) {
      const inner = valueAt(value, pointer);
      return typeof inner === "string"
        ? readJson(inner, source, () => ({ source }))
        : valueDocument(inner, source);
    },
  };
}

/** Line and column of offsets in `text`. */
export function offsetPlaces(text: string, source: string): LocateOffset {
  let starts: readonly number[] | undefined;
  return (offset) => {
    starts ??= lineStarts(text);
    let line = 0;
    for (let above = starts.length; above - line > 1; ) {
      const middle = (line + above) >> 1;
      if (starts[middle]! <= offset) line = middle;
      else above = middle;
    }
    return { source, line: line + 1, column: offset - starts[line]! + 1 };
  };
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) starts.push(end + 1);
  return starts;
}

class JsonDocument implements ConfigDocument {
  readonly value: unknown;
  readonly duplicates: readonly string[];
  /** The node of each value, by its pointer. */
  private readonly nodes = new Map<string, Node>();

  constructor(
    readonly source: string,
    private readonly text: string,
    root: Node | undefined,
    private readonly locateOffset: LocateOffset,
    private readonly embedEdit: EmbedEdit | undefined,
  ) {
    const duplicates = new Set<string>();
    this.value = root === undefined ? undefined : readNode(root, "", this.nodes, duplicates);
    this.duplicates = [...duplicates];
  }

  locate(pointer: string, part: "key" | "value" = "value"): Place {
    let at = pointer;
    while (at !== "" && !this.nodes.has(at)) at = parentPointer(at);
    const node = this.nodes.get(at);
    if (node === undefined) return { source: this.source };
    const key = node.parent?.type === "property" ? node.parent.children?.[0] : undefined;
    return this.locateOffset((part === "key" && key !== undefined ? key : node).offset);
  }

  open(pointer: string): ConfigDocument {
    const node = this.nodes.get(pointer);
    if (node?.type !== "string")
      return new JsonDocument(this.source, this.text, node, this.locateOffset, this.embedEdit);
    // JSON in a JSON string: escapes make offsets meaningless, so all of it has the string's position.
    const place = this.locateOffset(node.offset);
    return readJson(node.value as string, this.source, () => place);
  }

  edits(change: ConfigChange): readonly TextEdit[] | undefined {
    const edits = this.jsonEdits(change);
    return edits && this.embedEdit && embedEdits(edits, this.embedEdit);
  }

  private jsonEdits({ pointer, ...change }: ConfigChange): readonly TextEdit[] | undefined {
    const node = this.nodes.get(pointer);
    if (change.kind === "set") {
      if (node !== undefined) return [{ ...spanOf(node), text: JSON.stringify(change.value) }];
      const parent = this.nodes.get(parentPointer(pointer));
      if (parent?.type !== "object") return undefined;
      const member = `${JSON.stringify(fromPointer(pointer).at(-1))}: ${JSON.stringify(change.value)}`;
      return [insertSpan(this.text, (parent.children ?? []).map(spanOf), parent.offset + 1, member)];
    }
    const property = node?.parent?.type === "property" ? node.parent : undefined;
    const member = property ?? node;
    const key = property?.children?.[0];
    const siblings = member?.parent?.children;
    if (member === undefined || siblings === undefined) return undefined;
    if (change.kind === "rename")
      return key === undefined ? undefined : [{ ...spanOf(key), text: JSON.stringify(change.name) }];
    const spans = siblings.map(spanOf);
    if (change.kind === "remove") return [removeSpan(spans, siblings.indexOf(member))];
    const first = siblings.findIndex((other) => other.children?.[0]?.value === key?.value);
    return siblings[first] === member ? undefined : [removeSpan(spans, first)];
  }
}

function spanOf({ offset, length }: Node): Span {
  return { start: offset, end: offset + length };
}

/** The value of a node. Collects the nodes by pointer, and the pointers of keys that occur more than once. */
function readNode(node: Node, pointer: string, nodes: Map<string, Node>, duplicates: Set<string>): unknown {
  nodes.set(pointer, node);
  const read = (child: Node, at: string) => readNode(child, at, nodes, duplicates);
  if (node.type === "array") {
    return (node.children ?? []).map((child, index) => read(child, pointerTo(pointer, index)));
  }
  if (node.type !== "object") return node.value;
  // Members by name, so that replaced values are not read.
  const members = new Map<string, Node>();
  for (const property of node.children ?? []) {
    const [key, value] = property.children ?? [];
    if (key === undefined || value === undefined) continue;
    const name = key.value as string;
    if (members.has(name)) duplicates.add(pointerTo(pointer, name));
    members.set(name, value);
  }
  const object = bareObject();
  for (const [name, value] of members) object[name] = read(value, pointerTo(pointer, name));
  return object;
}

/** Expectation and remedy by the parser's error code. */
const SYNTAX: Readonly<Record<string, readonly [expected: string, remedy: string]>> = {
  InvalidSymbol: [
    "a JSON value",
    "write strings and keys in double quotes, and true, false and null in lower case",
  ],
  InvalidNumberFormat: ["a number", "write it as JSON does, for example 64 or 0.5"],
  PropertyNameExpected: [
    "a key in double quotes",
    "quote the key, or remove the comma before the closing brace",
  ],
  ValueExpected: ["a value", "add the value, or remove the comma before the closing bracket"],
  ColonExpected: ["a colon after the key", 'write "key": value'],
  CommaExpected: ["a comma between two entries", "add the comma"],
  CloseBraceExpected: ["a closing brace", "add }"],
  CloseBracketExpected: ["a closing bracket", "add ]"],
  EndOfFileExpected: ["the end of the text", "remove what follows the JSON value"],
  InvalidCommentToken: ["JSON without comments", "remove the comment: vLLM reads strict JSON"],
  UnexpectedEndOfComment: ["JSON without comments", "remove the comment"],
  UnexpectedEndOfString: ["a closing double quote", 'add "'],
  UnexpectedEndOfNumber: ["digits", "complete the number"],
  InvalidUnicode: ["four hexadecimal digits after \\u", "complete the escape"],
  InvalidEscapeCharacter: ["a known escape", 'use one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u'],
  InvalidCharacter: ["printable characters", "write control characters as escapes, such as \\n"],
};

/** The first syntax error of each line: later ones in the line are mostly its consequences. */
function syntaxProblems(text: string, errors: readonly ParseError[], locate: LocateOffset): ConfigProblem[] {
  if (text.trim() === "") {
    return [
      {
        ...locate(0),
        pointer: "",
        message: "the text is empty",
        expected: "a JSON object",
        remedy: "write {} for the defaults",
      },
    ];
  }
  const end = text.trimEnd().length;
  const byLine = new Map<string, ConfigProblem>();
  for (const { error, offset, length } of [...errors].sort((a, b) => a.offset - b.offset)) {
    const place = locate(offset);
    const line = `${place.line}`;
    if (byLine.has(line)) continue;
    const [expected, remedy] = SYNTAX[printParseErrorCode(error)] ?? ["JSON", "correct the text"];
    const found = text.slice(offset, offset + Math.min(Math.max(length, 1), 20));
    const what = offset >= end ? "the text ends" : `found ${found.split("\n", 1)[0]}`;
    byLine.set(line, {
      ...place,
      pointer: "",
      message: `this is not JSON: ${what} where ${expected} should be`,
      expected,
      remedy,
    });
  }
  return [...byLine.values()];
}
