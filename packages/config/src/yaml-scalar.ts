/** Maps the characters of a YAML scalar's value to offsets in the text, and writes new values there. */
import type { Scalar } from "yaml";
import type { TextEdit } from "./fix.js";

/**
 * For each character of a scalar's value, the offset in the text that it comes from.
 *
 * The value is the text with things taken out (indentation, quotes, line folds), so the two are walked side by side:
 * what does not match was taken out. Line breaks and blanks may have been folded, and are matched loosely.
 */
export function scalarOffsets(scalar: Scalar<string>, text: string): number[] {
  const [start, end] = scalar.range ?? [0, 0];
  const quoted = scalar.type === "QUOTE_DOUBLE" || scalar.type === "QUOTE_SINGLE";
  const block = scalar.type === "BLOCK_LITERAL" || scalar.type === "BLOCK_FOLDED";
  let at = block ? text.indexOf("\n", start) + 1 : start + (quoted ? 1 : 0);
  const offsets: number[] = [];
  for (const char of scalar.value.split("")) {
    if (char.trim() !== "") {
      while (at < end && text[at] !== char)
        at += scalar.type === "QUOTE_DOUBLE" ? escapeLength(text, at, char) : 1;
    }
    offsets.push(Math.min(at, end));
    if (char.trim() !== "" || text[at] === char) at++;
  }
  return offsets;
}

/** Characters to step over: a backslash alone if the wanted character follows it, else the whole escape. */
function escapeLength(text: string, at: number, wanted: string): number {
  return text[at] === "\\" && text[at + 1] !== wanted ? 2 : 1;
}

/** An edit of a scalar's value as one of the text, quoted and indented as the scalar is. */
export function editScalar(
  scalar: Scalar<string>,
  text: string,
  offsets: readonly number[],
  edit: TextEdit,
): TextEdit {
  const end = scalar.range?.[1] ?? 0;
  const at = (offset: number) => offsets[offset] ?? end;
  const isDouble = scalar.type === "QUOTE_DOUBLE";
  // The offset of an escaped quote is that of the quote; that of a backslash, the first of the two.
  const start = at(edit.start) - (isDouble && scalar.value[edit.start] === '"' ? 1 : 0);
  const lastLength = isDouble && scalar.value[edit.end - 1] === "\\" ? 2 : 1;
  return {
    start,
    end: edit.end === edit.start ? start : at(edit.end - 1) + lastLength,
    text: writeInScalar(scalar, text, offsets, edit.text),
  };
}

function writeInScalar(
  { type }: Scalar<string>,
  text: string,
  offsets: readonly number[],
  added: string,
): string {
  switch (type) {
    case "BLOCK_LITERAL":
    case "BLOCK_FOLDED": {
      const first = offsets[0] ?? 0;
      const indent = text.slice(text.lastIndexOf("\n", first - 1) + 1, first);
      return added.replaceAll("\n", `\n${indent}`);
    }
    case "QUOTE_SINGLE":
      return oneLine(added).replaceAll("'", "''");
    case "QUOTE_DOUBLE":
      return oneLine(added).replaceAll(/["\\]/g, "\\$&");
    default:
      return oneLine(added);
  }
}

/** A line break inside a flow scalar is a space. */
function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
