/**
 * Limits on untrusted text and values, checked before a parser or a traversal recurses. Catching a stack overflow is
 * not safe: V8 can abort the process when the stack is nearly full.
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
