/**
 * Row statistics are written by the kernel that writes the rows. In the graph they are a separate node without a
 * kernel: the plan allocates its memory when the writer runs, and lowering passes that memory to the writer.
 */
import { type Graph, GraphBuilder, type ValueId } from "../graph/graph.js";

/** The statistics node of each node that writes rows, if there is one. */
export function statisticsByWriter(graph: Graph): ReadonlyMap<ValueId, ValueId> {
  return new Map(
    graph.nodes.flatMap((node) =>
      node.op === "row_statistics" ? [[node.inputs[0] as ValueId, node.id]] : [],
    ),
  );
}

/** Merges the statistics nodes of rows that several norms read. */
export function shareStatistics(graph: Graph): Graph {
  const builder = new GraphBuilder();
  const renamed = new Map<ValueId, ValueId>();
  const known = new Map<ValueId, ValueId>();
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((id) => (id === null ? null : (renamed.get(id) as ValueId)));
    const shared = node.op === "row_statistics" ? known.get(inputs[0] as ValueId) : undefined;
    const id = shared ?? builder.add(node.op, inputs, node.attributes as never, node.name);
    if (node.op === "row_statistics") known.set(inputs[0] as ValueId, id);
    renamed.set(node.id, id);
  }
  return builder.build(graph.outputs.map((id) => renamed.get(id) as ValueId));
}
