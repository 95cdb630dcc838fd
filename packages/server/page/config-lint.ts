/** The findings of `vitgraph config check` for the text of a compilation config, with their ranges. */
import { configFindings, type LintFacts, parseCompilationConfig } from "@vitgraph/config";
import { findNodeAtOffset, parseTree } from "jsonc-parser";

export interface PlacedFinding {
  readonly from: number;
  readonly to: number;
  /** From 1; absent where the text does not give the value. */
  readonly line?: number;
  readonly severity: "error" | "warning" | "note";
  readonly message: string;
}

export function lintConfig(text: string, facts: LintFacts): readonly PlacedFinding[] {
  const source = "config";
  const root = parseTree(text);
  return configFindings(source, () => parseCompilationConfig(text, { source }), facts).map(
    ({ severity, message, remedy, line, column = 1 }) => {
      const sentence = remedy === undefined ? message : `${message}: ${remedy}`;
      if (line === undefined) return { from: 0, to: Math.min(1, text.length), severity, message: sentence };
      const offset = offsetOf(text, line, column);
      const node = root && findNodeAtOffset(root, offset, true);
      // A squiggle below a whole list or object, or below none, is hard to see; the place of a syntax error has no value.
      const end = node?.offset === offset && node.children === undefined ? offset + node.length : offset + 1;
      const to = Math.min(end, text.length);
      return { from: Math.min(offset, Math.max(0, to - 1)), to, line, severity, message: sentence };
    },
  );
}

function offsetOf(text: string, line: number, column: number): number {
  let start = 0;
  for (let at = 1; at < line; at++) start = text.indexOf("\n", start) + 1;
  return start + column - 1;
}
