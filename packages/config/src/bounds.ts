/**
 * Limits on text and values from outside. They are counted before a parser or a walk recurses: a caught stack overflow
 * is no answer, since V8 can abort the process on a stack that is nearly full.
 */

/** Characters of one text: a thousand times the usual config. */
export const MAX_TEXT_LENGTH = 1 << 20;
/** Objects and lists inside one another. vLLM's deepest key is four levels down. */
export const MAX_DEPTH = 64;
/** Members of all objects and lists together, aliases written out. */
export const MAX_MEMBERS = 100_000;

/** Why a value cannot be a config, or undefined. It may come from YAML's aliases or from a caller, so it may be no tree. */
export function excessOf(value: unknown): "contains itself" | "too deep" | "too large" | undefined {
  let members = 0;
  const ancestors: unknown[] = [];
  function walk(node: unknown): ReturnType<typeof excessOf> {
    if (typeof node !== "object" || node === null) return undefined;
    if (ancestors.includes(node)) return "contains itself";
    if (ancestors.length >= MAX_DEPTH) return "too deep";
    ancestors.push(node);
    for (const member of Object.values(node)) {
      members += 1;
      const excess = members > MAX_MEMBERS ? "too large" : walk(member);
      if (excess !== undefined) return excess;
    }
    ancestors.pop();
    return undefined;
  }
  return walk(value);
}

/** Whether brackets of a JSON text, valid or not, stand more than {@link MAX_DEPTH} deep. Never less than a parser finds. */
export function isJsonTooDeep(text: string): boolean {
  const open: string[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') at = endOfString(text, at);
    else if (character === "[" || character === "{") {
      open.push(character === "[" ? "]" : "}");
      if (open.length > MAX_DEPTH) return true;
    } else if (character === open.at(-1)) open.pop();
  }
  return false;
}

/** Offset of the closing quote, or of the line's end: no string of JSON goes on behind it. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") at += 1;
    else if (character === '"' || character === "\n" || character === "\r") return at;
  }
  return text.length;
}
