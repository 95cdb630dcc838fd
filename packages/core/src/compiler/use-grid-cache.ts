/**
 * Rewrites a graph to use the grid cache: values that depend only on a patch's position in its grid are read from the
 * cache instead of being computed. The host gives the cache row of each patch.
 *
 * Models do not know of the cache. This pass finds the values computed only from patch tables and weights. Those that
 * the rest of the graph reads become cached tables, and one index replaces the patch tables. Weights keep their order
 * and thus their addresses, so programs with and without the cache share the weights.
 */
import { type AnyNode, type Graph, GraphBuilder, nodeOf, type ValueId } from "../graph/graph.js";
import { OPS, rowsOf } from "../graph/ops.js";
import { patchTableInputs } from "../models/patch-tables.js";

/** i32 [patches, 1]: the cache row of each patch. Replaces the patch tables. */
export const GRID_ROWS = "grid_rows";

/** The values of a graph that depend only on the grid. Each list is in graph order. */
export interface GridValues {
  /** Patch tables. */
  readonly inputs: readonly AnyNode[];
  /** Weights and constants that `computed` reads. */
  readonly weights: readonly AnyNode[];
  /** Values computed from `inputs` and `weights` only. */
  readonly computed: readonly AnyNode[];
  /** The members of `inputs` and `computed` that the rest of the graph reads. */
  readonly cached: readonly AnyNode[];
}

/** Undefined if `computed` would be empty: reading a patch table from the cache costs as much as uploading it. */
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

/** The name of a cached value's table in the graph returned by {@link useGridCache}. */
export const cacheNameOf = ({ name }: AnyNode): string => `cache.${name}`;

/** The graph with a cache of `rows` rows. @param values the {@link gridValues} of `graph` */
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
      // The table lists the weights as inputs: no other node reads them now, and they must keep their addresses.
      const sources = OPS[node.op].role === "kernel" ? values.weights.map(({ id }) => rename(id)) : [];
      const table = builder.add("cached", sources, { type }, cacheNameOf(node));
      renamed.set(node.id, builder.add("gather_rows", [table, index], {}, node.name));
    }
  }
  return builder.build(graph.outputs.map((id) => rename(id) as ValueId));
}
