/** Where the characters of a YAML scalar's value stand in the text. */
import type { Scalar } from "yaml";

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
