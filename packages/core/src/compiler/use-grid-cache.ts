/**
 * Rewrites a graph to use the grid cache: values that depend only on a patch's place in its grid are not computed, but
 * read from a row of the cache that the host gives for each patch.
 *
 * Models do not know of the cache. This pass finds the values computed only from patch tables and weights: the last of
 * them become cached tables, and one index replaces the patch tables. Weights keep their order and hence their
 * addresses, so programs with and without the cache share the weights.
 */
import { type AnyNode, type Graph, GraphBuilder, nodeOf, type ValueId } from "../graph/graph.js";
import { OPS, rowsOf } from "../graph/ops.js";
import { patchTableInputs } from "../models/patch-tables.js";

/** i32 [patches, 1]: the cache's row for each patch. Takes the place of the patch tables. */
export const GRID_ROWS = "grid_rows";

/** The values of a graph that depend on the grid alone. Each list is in the graph's order. */
export interface GridValues {
  /** Patch tables. */
  readonly inputs: readonly AnyNode[];
  /** Weights and constants that they are computed from. */
  readonly weights: readonly AnyNode[];
  /** What is computed. */
  readonly computed: readonly AnyNode[];
  /** Those among the inputs and the computed that the rest of the graph reads. */
  readonly cached: readonly AnyNode[];
}

/** Undefined if the graph computes nothing from the grid alone: looking up a plain table costs as much as uploading it. */
export function gridValues(graph: Graph): GridValues | undefined {
  const inputs = patchTableInputs(graph);
  const known = new Set<ValueId | null>(inputs.map(({ id }) => id));
  const isWeight = (id: ValueId | null) => {
    if (id === null) return true;
    const { op } = nodeOf(graph, id);
    return op === "weight" || op === "constant";
  };
  const computed = graph.nodes.filter((node) => {
    const fromGrid =
      OPS[node.op].role === "kernel" &&
      node.inputs.some((id) => known.has(id)) &&
      node.inputs.every((id) => known.has(id) || isWeight(id));
    if (fromGrid) known.add(node.id);
    return fromGrid;
  });
  if (computed.length === 0) return undefined;
  const others = graph.nodes.filter(({ id }) => !known.has(id));
  const read = new Set([...others.flatMap((node) => node.inputs), ...graph.outputs]);
  const weights = new Set(
    computed.flatMap((node) => node.inputs).filter((id) => id !== null && !known.has(id)),
  );
  return {
    inputs,
    weights: graph.nodes.filter(({ id }) => weights.has(id)),
    computed,
    cached: [...inputs, ...computed].filter(({ id }) => read.has(id)),
  };
}

/** The name of a cached value's table in the graph that {@link useGridCache} makes. */
export const cacheNameOf = ({ name }: AnyNode): string => `cache.${name}`;

/** The graph over a cache of `rows` rows. `values` are its {@link gridValues}. */
export function useGridCache(graph: Graph, values: GridValues, rows: number): Graph {
  const builder = new GraphBuilder();
  const renamed = new Map<ValueId, ValueId>();
  const rename = (id: ValueId | null) => (id === null ? null : (renamed.get(id) as ValueId));
  const replaced = new Set([...values.inputs, ...values.computed].map(({ id }) => id));
  const cached = new Set(values.cached.map(({ id }) => id));

  const index = builder.input(GRID_ROWS, { element: "i32", rows: rowsOf("patches"), columns: 1 });
  for (const node of graph.nodes) {
    if (!replaced.has(node.id)) {
      const { op, inputs, attributes, name } = node;
      renamed.set(node.id, builder.add(op, inputs.map(rename), attributes as never, name));
    } else if (cached.has(node.id)) {
      const type = { ...node.type, rows: { dim: null, plus: rows } };
      // The weights are read by no other node, and must keep their places.
      const sources = OPS[node.op].role === "kernel" ? values.weights.map(({ id }) => rename(id)) : [];
      const table = builder.add("cached", sources, { type }, cacheNameOf(node));
      renamed.set(node.id, builder.add("gather_rows", [table, index], {}, node.name));
    }
  }
  return builder.build(graph.outputs.map((id) => rename(id) as ValueId));
}
