/**
 * Changes of a YAML config as edits of its text: flow style as in JSON, block style by whole lines. Quoted keys stay
 * quoted. New values are written as JSON, which is valid YAML.
 */
import { isCollection, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from "yaml";
import type { TextEdit } from "./fix.js";
import { insertSpan, removeSpan, type Span } from "./text-edits.js";

/** Undefined if the key's text cannot be replaced alone. */
export function renameKey(key: unknown, name: string): readonly TextEdit[] | undefined {
  if (!isScalar(key) || !key.range || isBlockScalar(key)) return undefined;
  const isQuoted = key.type === "QUOTE_DOUBLE" || key.type === "QUOTE_SINGLE";
  return [{ start: key.range[0], end: key.range[1], text: isQuoted ? JSON.stringify(name) : name }];
}

/** Undefined for values of more than one line in block style. */
export function replaceValue(node: Node, value: unknown): readonly TextEdit[] | undefined {
  if (!node.range || isBlockScalar(node) || (isCollection(node) && node.flow !== true)) return undefined;
  return [{ start: node.range[0], end: node.range[1], text: JSON.stringify(value) }];
}

export function insertMember(
  text: string,
  map: YAMLMap,
  key: string,
  value: unknown,
): readonly TextEdit[] | undefined {
  const member = `${key}: ${JSON.stringify(value)}`;
  if (map.flow) return [insertSpan(text, spansOf(map), (map.range?.[0] ?? 0) + 1, member)];
  const start = spansOf(map)[0]?.start;
  const indent = start === undefined ? undefined : indentBefore(text, start);
  if (start === undefined || indent === undefined) return undefined;
  return [{ start, end: start, text: `${member}\n${indent}` }];
}

export function removeMember(
  text: string,
  container: YAMLMap | YAMLSeq,
  index: number,
): readonly TextEdit[] | undefined {
  const spans = spansOf(container);
  if (container.flow) return [removeSpan(spans, index)];
  const span = spans[index]!;
  const end = span.start + text.slice(span.start, span.end).trimEnd().length;
  // Nothing in block style would be null.
  if (spans.length === 1) return isSeq(container) ? undefined : [{ start: span.start, end, text: "{}" }];
  const lineStart = text.lastIndexOf("\n", span.start - 1) + 1;
  const lead = text.slice(lineStart, span.start);
  if (!(isSeq(container) ? /^\s*-\s*$/ : /^\s*$/).test(lead)) return undefined;
  const lineEnd = text.indexOf("\n", end);
  return [{ start: lineStart, end: lineEnd < 0 ? text.length : lineEnd + 1, text: "" }];
}

/** Members with their keys. */
function spansOf(container: YAMLMap | YAMLSeq): readonly Span[] {
  const items = container.items as readonly (Node | Pair<Node, Node | null>)[];
  return items.map((item) => {
    const first = "key" in item ? item.key : item;
    const last = "key" in item ? (item.value ?? item.key) : item;
    return { start: first.range?.[0] ?? 0, end: last.range?.[1] ?? 0 };
  });
}

function isBlockScalar(node: unknown): boolean {
  return isScalar(node) && (node.type === "BLOCK_LITERAL" || node.type === "BLOCK_FOLDED");
}

/** The white space between the start of the line and an offset; undefined where there is anything else. */
function indentBefore(text: string, offset: number): string | undefined {
  const lead = text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset);
  return lead.trim() === "" ? lead : undefined;
}
