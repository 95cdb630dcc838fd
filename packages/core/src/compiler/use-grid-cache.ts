/**
 * A graph over the grid cache: what depends on a patch's place in its grid alone is not computed but read at the row of the
 * cache that the host names for the patch.
 *
 * Models know nothing of this: they sample their position embeddings and hand positions to the rotations. Here the
 * sampled embeddings and the positions become two cached tables, and one index takes the place of the input `positions`.
 * Weights keep their order, and so their addresses: programs of both forms run over the same weights.
 */
import { type AnyNode, type Graph, GraphBuilder, type Node, nodeOf, type ValueId } from "../graph/graph.js";
import { rowsOf, type ValueType } from "../graph/ops.js";

/** i32 [patches, 1]: the cache's row for each patch. Takes the place of the graph's positions. */
export const GRID_ROWS = "grid_rows";

/** The one op of a graph that the cache stands for; undefined where there is none, or positions are no plain input. */
export function cacheableOp(graph: Graph): Node<"position_embedding"> | undefined {
  const sampled = graph.nodes.filter((node) => node.op === "position_embedding");
  const [only, ...others] = sampled;
  if (only === undefined || others.length > 0) return undefined;
  return nodeOf(graph, only.inputs[1] as ValueId).op === "input" ? only : undefined;
}

/** The graph over a cache of `rows` rows. `sampled` is its {@link cacheableOp}. */
export function useGridCache(graph: Graph, sampled: Node<"position_embedding">, rows: number): Graph {
  const [table, positions] = sampled.inputs as readonly [ValueId, ValueId];
  const builder = new GraphBuilder();
  const renamed = new Map<ValueId, ValueId>();
  const rename = (id: ValueId | null) => (id === null ? null : (renamed.get(id) as ValueId));
  const cached = (name: string, type: ValueType, source: ValueId | null) =>
    builder.add("cached", [source], { type: { ...type, rows: { dim: null, plus: rows } } }, name);

  const index = builder.input(GRID_ROWS, { element: "i32", rows: rowsOf("patches"), columns: 1 });
  const translate = (node: AnyNode): ValueId => {
    if (node.id === positions) {
      const places = cached("cache.positions", node.type, null);
      return builder.add("gather_rows", [places, index], {}, node.name);
    }
    if (node.id === sampled.id) {
      const embeddings = cached("cache.embeddings", node.type, rename(table));
      return builder.add("gather_rows", [embeddings, index], {}, node.name);
    }
    return builder.add(node.op, node.inputs.map(rename), node.attributes as never, node.name);
  };
  for (const node of graph.nodes) renamed.set(node.id, translate(node));
  return builder.build(graph.outputs.map((id) => rename(id) as ValueId));
}
