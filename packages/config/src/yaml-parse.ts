/** The one call of the YAML parser: with this project's options, and only on text whose size and depth are bounded. */
import { type Document, LineCounter, parseDocument } from "yaml";
import { MAX_TEXT_LENGTH } from "./bounds.js";
import { isYamlTooDeep } from "./yaml-bounds.js";

export type ParsedYaml =
  | { readonly document: Document; readonly lines: LineCounter }
  | { readonly excess: "too long" | "too deep" };

/** Parses as PyYAML does: YAML 1.1, and a key that occurs twice keeps its last value. */
export function parseYaml(text: string): ParsedYaml {
  if (text.length > MAX_TEXT_LENGTH) return { excess: "too long" };
  if (isYamlTooDeep(text)) return { excess: "too deep" };
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
    // Or the parser prints a warning to stderr for a key that is a list or a map.
    logLevel: "error",
  });
  return { document, lines };
}
