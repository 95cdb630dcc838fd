/**
 * Merges several sources of one config: objects merge key by key, later layers win, and every value keeps its layer and
 * position.
 *
 * Lists are values, not containers: a later list replaces an earlier one. The exceptions are vLLM's: `key+` appends,
 * and two dotted arguments that give lists for one key give one list.
 */
import { isRecord } from "@vitgraph/errors";
import type { ConfigDocument } from "./document.js";
import type { ConfigChange, TextEdit } from "./fix.js";
import { fromPointer, parentPointer, pointerTo } from "./pointer.js";
import type { Place } from "./problem.js";
import { bareCopy, bareObject, valueAt } from "./value.js";

/** Origin of a layer. A key that two layers of one rank give is worth a warning; of different ranks, it is not. */
export type LayerRank = "file" | "argument" | "input";

export interface Layer {
  readonly rank: LayerRank;
  /** `json`: a whole document. `dotted`: one key. `append`: members for one key's list. */
  readonly form: "json" | "dotted" | "append";
  /** The document's value is an object. */
  readonly document: ConfigDocument;
}

/** A key that two layers of one rank gave. */
export interface Overridden {
  readonly pointer: string;
  readonly before: { readonly place: Place; readonly value: unknown };
  readonly after: { readonly place: Place; readonly value: unknown };
}

export interface MergedLayers {
  readonly value: Readonly<Record<string, unknown>>;
  readonly overridden: readonly Overridden[];
  /** The layer that gave the value at `pointer` (or its nearest ancestor); undefined if there is none. */
  layerOf(pointer: string): Layer | undefined;
  locate(pointer: string, part?: "key" | "value"): Place | undefined;
  /** The change as edits of the text that gave the value; for a new value, of the text that gave its first sibling. */
  edits(change: ConfigChange): readonly TextEdit[] | undefined;
}

interface Source {
  readonly layer: Layer;
  /** Pointer of the value in the layer's document. */
  readonly pointer: string;
}

/** The layer that gave a value. Values inside it may come from other layers. */
interface SourceNode {
  source: Source | undefined;
  readonly members: Map<string, SourceNode>;
}

/** Merges layers, the weakest first. */
export function mergeLayers(layers: readonly Layer[]): MergedLayers {
  const root: SourceNode = { source: undefined, members: new Map() };
  const overridden: Overridden[] = [];
  const value = bareObject();

  function mergeInto(
    target: Record<string, unknown>,
    fields: object,
    pointer: string,
    layer: Layer,
    sources: SourceNode,
  ): void {
    for (const [name, field] of Object.entries(fields)) {
      if (field === undefined) continue;
      const at = pointerTo(pointer, name);
      const existing = target[name];
      const below = memberOf(sources, name);
      if (isRecord(field) && isRecord(existing)) {
        mergeInto(existing, field, at, layer, below);
      } else if (Array.isArray(field) && Array.isArray(existing) && appends(layer, sourceOf(at)?.layer)) {
        for (const [index, member] of field.entries()) {
          memberOf(below, String(existing.length)).source = { layer, pointer: `${at}/${index}` };
          existing.push(bareCopy(member));
        }
      } else {
        if (existing !== undefined) noteOverride(at, existing, field, layer);
        below.members.clear();
        below.source = { layer, pointer: at };
        target[name] = bareCopy(field);
      }
    }
  }

  function noteOverride(pointer: string, before: unknown, after: unknown, layer: Layer): void {
    const source = sourceOf(pointer);
    if (source === undefined || source.layer.rank !== layer.rank) return;
    overridden.push({
      pointer,
      before: { place: source.layer.document.locate(source.pointer), value: before },
      after: { place: layer.document.locate(pointer), value: after },
    });
  }

  /** The source of the value at a pointer, or of its nearest ancestor that has one. */
  function sourceOf(pointer: string): Source | undefined {
    let node: SourceNode | undefined = root;
    let found: Source | undefined;
    for (const name of fromPointer(pointer)) {
      node = node?.members.get(name);
      if (node?.source !== undefined) found = node.source;
      else if (found !== undefined) found = { ...found, pointer: pointerTo(found.pointer, name) };
    }
    return found;
  }

  for (const layer of layers) mergeInto(value, layer.document.value as object, "", layer, root);

  return {
    value,
    overridden,
    layerOf: (pointer) => (valueAt(value, pointer) === undefined ? undefined : sourceOf(pointer)?.layer),
    locate(pointer, part) {
      const source = sourceOf(pointer);
      // A list that was appended to has parts from several layers, so an index may not exist in the first.
      return source?.layer.document.locate(source.pointer, part);
    },
    edits(change) {
      const isGiven = valueAt(value, change.pointer) !== undefined;
      if (!isGiven && change.kind === "set") {
        const parent = parentPointer(change.pointer);
        for (const sibling of Object.keys(valueAt(value, parent) ?? {})) {
          const layer = sourceOf(pointerTo(parent, sibling))?.layer;
          const edits = layer?.form === "json" ? layer.document.edits(change) : undefined;
          if (edits !== undefined) return edits;
        }
        return undefined;
      }
      const source = isGiven ? sourceOf(change.pointer) : undefined;
      return source?.layer.document.edits({ ...change, pointer: source.pointer });
    },
  };
}

function memberOf(node: SourceNode, name: string): SourceNode {
  let member = node.members.get(name);
  if (member === undefined) {
    member = { source: undefined, members: new Map() };
    node.members.set(name, member);
  }
  return member;
}

function appends(layer: Layer, earlier: Layer | undefined): boolean {
  return (
    layer.form === "append" || (layer.form === "dotted" && earlier !== undefined && earlier.form !== "json")
  );
}
