/**
 * JSON inside YAML, for editors: maps between a JSON language service's text and positions in the YAML file. The value
 * may be a string of JSON, which is used unchanged, or a map, which is converted to JSON.
 */
import { type Document, isMap, isNode, isScalar, isSeq, type Node, type Scalar } from "yaml";
import { MAX_TEXT_LENGTH } from "./bounds.js";
import type { TextEdit } from "./fix.js";
import { resolveAlias } from "./yaml-aliases.js";
import { parseYaml } from "./yaml-parse.js";
import { editScalar, scalarOffsets } from "./yaml-scalar.js";

/** A value of a YAML text as JSON text, with the offsets of each in the other. */
export interface EmbeddedJson {
  readonly text: string;
  /** Offset in the YAML text of an offset in the JSON text. */
  toSource(jsonOffset: number): number;
  /** Offset in the JSON text of an offset in the YAML text; undefined outside the value. */
  toJson(sourceOffset: number): number | undefined;
  /** An edit of the JSON text as one of the YAML text, quoted and indented. Absent for a map. */
  readonly embedEdit?: (edit: TextEdit) => TextEdit;
}

/**
 * The value under a path of keys of a YAML text as JSON. Undefined if there is none, if the YAML is incomplete (an
 * editor calls in the middle of a word), too long or nested too deeply.
 */
export function extractJson(yaml: string, path: readonly string[]): EmbeddedJson | undefined {
  const parsed = parseYaml(yaml);
  if ("excess" in parsed) return undefined;
  const { document } = parsed;
  return embeddedJson(document.getIn(path, true) as Node | undefined, document, yaml);
}

/** Like {@link extractJson}, for a node of a YAML document. A string that is not JSON is returned unchanged. */
export function embeddedJson(
  found: Node | null | undefined,
  document: Document,
  yaml: string,
): EmbeddedJson | undefined {
  const node = found == null ? undefined : resolveAlias(found, document);
  if (node?.range == null) return undefined;
  const scalar = isScalar(node) && typeof node.value === "string" ? (node as Scalar<string>) : undefined;
  const { text, offsets } =
    scalar === undefined
      ? written(node, document)
      : { text: scalar.value, offsets: scalarOffsets(scalar, yaml) };
  const [start, end] = node.range;
  return {
    text,
    ...(scalar && { embedEdit: (edit: TextEdit) => editScalar(scalar, yaml, offsets, edit) }),
    toSource: (jsonOffset) => offsets[jsonOffset] ?? end,
    toJson(sourceOffset) {
      if (sourceOffset < start || sourceOffset > end) return undefined;
      return firstFrom(offsets, sourceOffset) ?? text.length;
    },
  };
}

/** Index of the first offset that is not below `least`; undefined if all are. A command line has a look-up for each word. */
function firstFrom(ascending: readonly number[], least: number): number | undefined {
  let [from, to] = [0, ascending.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (ascending[middle]! < least) from = middle + 1;
    else to = middle;
  }
  return from === ascending.length ? undefined : from;
}

/** The node as JSON text, and the YAML offset of each of its characters. */
function written(root: Node, document: Document): { text: string; offsets: number[] } {
  let text = "";
  const offsets: number[] = [];
  let at = root.range?.[0] ?? 0;

  /** Characters without a counterpart in YAML: they get the last value's position. */
  function punctuation(characters: string): void {
    for (const character of characters) {
      text += character;
      offsets.push(at);
    }
  }

  /** A key or a scalar: its characters map to those of the YAML one by one, as far as both reach. */
  function scalar(json: string, node: unknown): void {
    const range = (node as Node | null)?.range;
    const [start, end] = range ?? [at, at];
    // JSON has quotes where plain YAML has none.
    const shift = json.startsWith('"') && isScalar(node) && node.type === "PLAIN" ? 1 : 0;
    for (const [index, character] of json.split("").entries()) {
      text += character;
      offsets.push(Math.min(start + Math.max(0, index - shift), end));
    }
    at = end;
  }

  function write(node: unknown): void {
    // Aliases of a long text can make a longer one than memory holds. The reader refuses it by its length.
    if (text.length > MAX_TEXT_LENGTH) return;
    if (isMap(node)) {
      punctuation("{");
      for (const [index, pair] of node.items.entries()) {
        if (index > 0) punctuation(", ");
        scalar(JSON.stringify(isScalar(pair.key) ? String(pair.key.value) : String(pair.key)), pair.key);
        punctuation(": ");
        write(pair.value);
      }
      punctuation("}");
    } else if (isSeq(node)) {
      punctuation("[");
      for (const [index, item] of node.items.entries()) {
        if (index > 0) punctuation(", ");
        write(item);
      }
      punctuation("]");
    } else {
      const target = isNode(node) ? resolveAlias(node, document) : undefined;
      // The alias's target is checked at its definition; here a value of its type is enough.
      const value = isScalar(target) ? target.value : isMap(target) ? {} : isSeq(target) ? [] : null;
      scalar(JSON.stringify(value ?? null), node);
    }
  }

  write(root);
  return { text, offsets };
}
