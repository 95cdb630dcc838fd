/**
 * YAML documents that remember where each value stands: the door `@vitgraph/config/yaml`. It needs the package `yaml`,
 * an optional peer dependency, so that those who only read JSON do not carry it.
 *
 * YAML 1.1, as PyYAML reads it for vLLM: `on` and `yes` are booleans, `<<` merges. Compilation configs often stand in
 * such a file as a string of JSON; positions inside that string are positions in the file, too.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  YAMLMap,
} from "yaml";
import { type ConfigDocument, readJson } from "./document.js";
import { fromPointer, toPointer } from "./pointer.js";
import { configInvalid, type Place } from "./problem.js";
import { isCyclic } from "./value.js";
import { scalarOffsets } from "./yaml-scalar.js";

/** Reads YAML text. Throws VG_CONFIG_INVALID with the place of each syntax error. */
export function parseYamlDocument(text: string, source: string): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: "1.1",
    // Found below, where they can be warnings: PyYAML keeps the last value, in silence.
    uniqueKeys: false,
    lineCounter: lines,
    prettyErrors: false,
  });
  const locate = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col };
  };
  if (document.errors.length > 0) {
    throw configInvalid(
      document.errors.map((error) => ({
        ...locate(error.pos[0]),
        pointer: "",
        // Nesting that overflows the parser's stack is an error among the others there.
        message: error.message.includes("call stack")
          ? "the YAML is nested too deeply to be read"
          : `this is not YAML: ${error.message}`,
        expected: "YAML",
        remedy: "correct the text at this place",
      })),
    );
  }
  return new YamlDocument(source, text, document, document.contents, locate);
}

class YamlDocument implements ConfigDocument {
  readonly value: unknown;
  readonly duplicates: readonly string[];

  constructor(
    readonly source: string,
    private readonly text: string,
    private readonly document: Document,
    private readonly root: Node | null,
    private readonly locateOffset: (offset: number) => Place,
  ) {
    this.value = root === null ? null : toValue(root, document, locateOffset);
    this.duplicates = root === null ? [] : duplicateKeys(root, "");
  }

  locate(pointer: string, part: "key" | "value" = "value"): Place {
    const found = this.find(fromPointer(pointer));
    const node = part === "key" && found.key !== undefined ? found.key : found.node;
    const offset = node?.range?.[0];
    return offset === undefined ? { source: this.source } : this.locateOffset(offset);
  }

  open(pointer: string): ConfigDocument {
    const { node, depth } = this.find(fromPointer(pointer));
    const target = depth === fromPointer(pointer).length ? this.resolve(node) : undefined;
    if (target !== undefined && isScalar(target) && typeof target.value === "string") {
      const offsets = scalarOffsets(target as Scalar<string>, this.text);
      const end = target.range?.[1] ?? 0;
      return readJson(target.value, this.source, (offset) => this.locateOffset(offsets[offset] ?? end));
    }
    return new YamlDocument(this.source, this.text, this.document, target ?? null, this.locateOffset);
  }

  /** The node at a path, or its nearest ancestor; `depth` says how far it got. */
  private find(segments: readonly string[]): { node: Node | null; key: Node | undefined; depth: number } {
    let node = this.root;
    let key: Node | undefined;
    for (const [depth, segment] of segments.entries()) {
      const container = this.resolve(node);
      const pair = isMap(container) ? lastPair(container, segment) : undefined;
      const below = pair?.value ?? (isSeq(container) ? container.items[Number(segment)] : undefined);
      if (below === undefined || below === null) return { node, key, depth };
      node = below as Node;
      key = pair?.key as Node | undefined;
    }
    return { node, key, depth: segments.length };
  }

  private resolve(node: Node | null): Node | undefined {
    if (node === null) return undefined;
    return isAlias(node) ? node.resolve(this.document) : node;
  }
}

/** The node as a plain value. Aliases can lead nowhere, in circles, or to more than memory holds. */
function toValue(node: Node, document: Document, locate: (offset: number) => Place): unknown {
  const refuse = (message: string) =>
    configInvalid([
      {
        ...locate(node.range?.[0] ?? 0),
        pointer: "",
        message: `this YAML has no value: ${message}`,
        expected: "anchors before their aliases, and no circles",
        remedy: "write the values out instead of aliases",
      },
    ]);
  let value: unknown;
  try {
    value = node.toJS(document);
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : String(error));
  }
  if (isCyclic(value)) throw refuse("an alias leads back to what contains it");
  return value;
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
}

function lastPair(map: YAMLMap, name: string): Pair | undefined {
  return map.items.findLast((pair) => keyText(pair) === name);
}

function duplicateKeys(node: unknown, pointer: string): string[] {
  if (isSeq(node)) return node.items.flatMap((item, index) => duplicateKeys(item, `${pointer}/${index}`));
  if (!(node instanceof YAMLMap)) return [];
  const seen = new Set<string>();
  const found: string[] = [];
  for (const pair of node.items as Pair[]) {
    const at = pointer + toPointer([keyText(pair)]);
    // A second "<<" merges a second map: nothing is lost.
    if (seen.has(at) && keyText(pair) !== "<<" && !found.includes(at)) found.push(at);
    seen.add(at);
    found.push(...duplicateKeys(pair.value, at));
  }
  return found;
}

export { type EmbeddedJson, extractJson } from "./yaml-json.js";
