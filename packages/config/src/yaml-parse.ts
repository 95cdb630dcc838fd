/** Calls the YAML parser with this project's options, and only on text of bounded size and depth. */
import { type Document, LineCounter, parseAllDocuments, parseDocument } from "yaml";
import { MAX_TEXT_LENGTH } from "./bounds.js";
import { isYamlTooDeep } from "./yaml-bounds.js";

export type ParsedYaml =
  | { readonly document: Document; readonly lines: LineCounter }
  | { readonly excess: "too long" | "too deep" };

/** Parses as PyYAML does: YAML 1.1, and a key that occurs twice keeps its last value. */
export function parseYaml(text: string): ParsedYaml {
  const excess = yamlExcess(text);
  if (excess !== undefined) return { excess };
  const lines = new LineCounter();
  return { document: parseDocument(text, { ...OPTIONS, lineCounter: lines }), lines };
}

/** All documents of a text, such as the manifests of a file; none where it is too long or nested too deeply. */
export function parseYamlStream(text: string): readonly Document[] {
  if (yamlExcess(text) !== undefined) return [];
  return [...parseAllDocuments(text, OPTIONS)];
}

const OPTIONS = {
  version: "1.1",
  uniqueKeys: false,
  prettyErrors: false,
  // Or the parser prints a warning to stderr for a key that is a list or a map.
  logLevel: "error",
} as const;

function yamlExcess(text: string): "too long" | "too deep" | undefined {
  if (text.length > MAX_TEXT_LENGTH) return "too long";
  return isYamlTooDeep(text) ? "too deep" : undefined;
}
