/**
 * Checks the nesting of a YAML text on its tokens: the lexer of `yaml` does not recurse, its parser and composer do.
 */
import { CST, Lexer } from "yaml";
import { MAX_DEPTH } from "./bounds.js";

/** Before the text of a plain or block scalar, the lexer gives this token. */
const SCALAR_MARK = "\u001f";

/**
 * True if flow brackets and block collections are nested more than {@link MAX_DEPTH} deep.
 *
 * A block collection begins at the column of its first key or dash, and ends before a line that is indented less. The
 * column of every scalar is counted too, so the count may be one above the depth, but never below it.
 */
export function isYamlTooDeep(text: string): boolean {
  const columns: number[] = [];
  let flow = 0;
  let column = 0;
  let isLineStart = true;
  let isScalarText = false;
  let before: CST.TokenType | null = null;
  for (const token of new Lexer().lex(text)) {
    const type = isScalarText ? null : CST.tokenType(token);
    isScalarText = token === SCALAR_MARK;
    if (type === "flow-map-start" || type === "flow-seq-start") flow += 1;
    else if (type === "flow-map-end" || type === "flow-seq-end") flow = Math.max(0, flow - 1);
    else if (flow === 0 && isCollectionStart(type, before)) {
      if (isLineStart) while ((columns.at(-1) ?? -1) >= column) columns.pop();
      if ((columns.at(-1) ?? -1) < column) columns.push(column);
      isLineStart = false;
    }
    if (flow + columns.length > MAX_DEPTH) return true;
    if (type !== null && type !== "space") before = type;
    const lineEnd = token.lastIndexOf("\n");
    // Tokens without source text are control characters.
    if (lineEnd >= 0) column = token.length - lineEnd - 1;
    else if (token > SCALAR_MARK) column += token.length;
    if (token.endsWith("\n")) {
      isLineStart = true;
      before = null;
    }
  }
  return false;
}

/** True if a collection may begin at a token: a key or a dash, or a colon without a key before it. */
function isCollectionStart(type: CST.TokenType | null, before: CST.TokenType | null): boolean {
  switch (type) {
    case "scalar":
    case "alias":
    case "single-quoted-scalar":
    case "double-quoted-scalar":
    case "seq-item-ind":
    case "explicit-key-ind":
      return true;
    case "map-value-ind":
      return before === null || before.endsWith("-ind");
    default:
      return false;
  }
}
