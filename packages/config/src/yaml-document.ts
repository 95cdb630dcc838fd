/**
 * YAML documents with the position of each value.
 *
 * YAML 1.1, as PyYAML reads it for vLLM: `on` and `yes` are booleans, `<<` merges. A compilation config is often a string
 * of JSON in such a file. The values in that string have positions in the file as well.
 */
import { shorten } from "@vitgraph/errors";
import {
  type Document,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type Scalar,
  visit,
  type YAMLError,
  YAMLMap,
} from "yaml";
import { excessOf } from "./bounds.js";
import { type ConfigDocument, type LocateOffset, readJson } from "./document.js";
import type { ConfigChange, TextEdit } from "./fix.js";
import { fromPointer, parentPointer, toPointer } from "./pointer.js";
import { type ConfigProblem, configInvalid, excessProblem, type Place, ProblemList } from "./problem.js";
import { resolveAlias } from "./yaml-aliases.js";
import { insertMember, removeMember, renameKey, replaceValue } from "./yaml-edits.js";
import { parseYaml } from "./yaml-parse.js";
import { editScalar, scalarOffsets } from "./yaml-scalar.js";

/** Reads YAML text. Throws VG_CONFIG_INVALID with the place of each syntax error. */
export function parseYamlDocument(text: string, source: string): ConfigDocument {
  const parsed = parseYaml(text);
  if ("excess" in parsed) throw configInvalid([excessProblem("the YAML", parsed.excess, { source })]);
  const { document, lines } = parsed;
  const locate = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { source, line, column: col };
  };
  // An unknown tag is a warning of this parser, and an error in PyYAML.
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) throw configInvalid(faults.map((fault) => yamlProblem(fault, locate)));
  refuseCollectionKeys(document, locate);
  return new YamlDocument(source, text, document, document.contents, locate);
}

/** A fault that the YAML parser found. */
export function yamlProblem(fault: YAMLError, locate: LocateOffset): ConfigProblem {
  const place = { ...locate(fault.pos[0]), pointer: "", expected: "YAML" };
  if (fault.code === "MULTIPLE_DOCS") {
    const message = "a second YAML document begins here, and vLLM reads files of one";
    return { ...place, message, remedy: "keep one document, and remove the --- between them" };
  }
  const message = `this is not YAML: ${shorten(fault.message, 200)}`;
  return { ...place, message, remedy: "correct the text at this place" };
}

/** Refuses keys that are lists or maps, as PyYAML does. Templates that are not filled in look like them. */
function refuseCollectionKeys(document: Document, locate: (offset: number) => Place): void {
  const problems = new ProblemList();
  visit(document, {
    Pair(_, { key }) {
      const meant = resolveAlias(key as Node, document);
      if (!isCollection(meant)) return;
      problems.add(() => ({
        ...locate((key as Node).range?.[0] ?? 0),
        pointer: "",
        message: `a key of the YAML is a ${isMap(meant) ? "map" : "list"}`,
        expected: "a key in one word",
        remedy: "quote the key; if the braces are a template's, fill it in first",
      }));
    },
  });
  problems.throwIfAny();
}

class YamlDocument implements ConfigDocument {
  readonly value: unknown;
  readonly duplicates: readonly string[];
  private readonly pairs = new WeakMap<YAMLMap, ReadonlyMap<string, Pair>>();

  constructor(
    readonly source: string,
    private readonly text: string,
    private readonly document: Document,
    private readonly root: Node | null,
    private readonly locateOffset: (offset: number) => Place,
  ) {
    this.value = root === null ? null : toValue(root, document, locateOffset);
    this.duplicates = root === null ? [] : duplicateKeys(root);
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
      const scalar = target as Scalar<string>;
      const offsets = scalarOffsets(scalar, this.text);
      const end = scalar.range?.[1] ?? 0;
      return readJson(scalar.value, this.source, (offset) => this.locateOffset(offsets[offset] ?? end), {
        embedEdit: (edit) => editScalar(scalar, this.text, offsets, edit),
      });
    }
    return new YamlDocument(this.source, this.text, this.document, target ?? null, this.locateOffset);
  }

  edits({ pointer, ...change }: ConfigChange): readonly TextEdit[] | undefined {
    const container = this.resolve(this.exactly(parentPointer(pointer)));
    if (!isMap(container) && !isSeq(container)) return undefined;
    const name = fromPointer(pointer).at(-1) ?? "";
    const pair = isMap(container) ? this.pairsOf(container).get(name) : undefined;
    const items: readonly unknown[] = container.items;
    const index = pair === undefined ? Number(name) : items.indexOf(pair);
    const isThere = isMap(container) ? pair !== undefined : items[index] !== undefined;
    if (change.kind === "set" && !isThere && isMap(container))
      return insertMember(this.text, container, name, change.value);
    if (!isThere) return undefined;
    switch (change.kind) {
      case "rename":
        return renameKey(pair?.key, change.name);
      case "set": {
        const node = this.exactly(pointer);
        return node === null ? undefined : replaceValue(node, change.value);
      }
      case "remove":
        return removeMember(this.text, container, index);
      case "remove-first": {
        const first = items.findIndex((item) => isPair(item) && keyText(item) === name);
        return first === index ? undefined : removeMember(this.text, container, first);
      }
    }
  }

  /** The node at a pointer, or null. */
  private exactly(pointer: string): Node | null {
    const segments = fromPointer(pointer);
    const { node, depth } = this.find(segments);
    return depth === segments.length ? node : null;
  }

  /** The node at a path, or its nearest ancestor, at `depth`. */
  private find(segments: readonly string[]): { node: Node | null; key: Node | undefined; depth: number } {
    let node = this.root;
    let key: Node | undefined;
    for (const [depth, segment] of segments.entries()) {
      const container = this.resolve(node);
      const pair = isMap(container) ? this.pairsOf(container).get(segment) : undefined;
      const below = pair?.value ?? (isSeq(container) ? container.items[Number(segment)] : undefined);
      if (below === undefined || below === null) return { node, key, depth };
      node = below as Node;
      key = pair?.key as Node | undefined;
    }
    return { node, key, depth: segments.length };
  }

  /** Pairs by key; of equal keys, the last. */
  private pairsOf(map: YAMLMap): ReadonlyMap<string, Pair> {
    let pairs = this.pairs.get(map);
    if (pairs === undefined) {
      pairs = new Map(map.items.map((pair) => [keyText(pair), pair]));
      this.pairs.set(map, pairs);
    }
    return pairs;
  }

  private resolve(node: Node | null): Node | undefined {
    return node === null ? undefined : resolveAlias(node, this.document);
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
    throw refuse(shorten(error instanceof Error ? error.message : String(error), 200));
  }
  const excess = excessOf(value);
  if (excess === "contains itself") throw refuse("an alias leads back to what contains it");
  if (excess !== undefined) {
    throw configInvalid([
      excessProblem("the YAML, with its aliases written out,", excess, locate(node.range?.[0] ?? 0)),
    ]);
  }
  return value;
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
}

function duplicateKeys(root: Node): string[] {
  const found = new Set<string>();
  function collect(node: unknown, pointer: string): void {
    if (isSeq(node)) {
      for (const [index, item] of node.items.entries()) collect(item, `${pointer}/${index}`);
    } else if (node instanceof YAMLMap) {
      const seen = new Set<string>();
      for (const pair of node.items as Pair[]) {
        const name = keyText(pair);
        const at = pointer + toPointer([name]);
        // A second "<<" merges a second map, and replaces nothing.
        if (seen.has(name) && name !== "<<") found.add(at);
        seen.add(name);
        collect(pair.value, at);
      }
    }
  }
  collect(root, "");
  return [...found];
}
