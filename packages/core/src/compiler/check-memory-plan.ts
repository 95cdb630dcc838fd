/**
 * Verifies a memory plan independently of the planner: simulates the graph, tracks which value was written last to
 * each byte of every arena, and checks before each read that the bytes still hold the expected value. It shares only
 * types with the planner, and does not use lifetimes.
 */
import { DTYPE_BYTES } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import { type AnyNode, type Graph, nodeOf, type ValueId } from "../graph/graph.js";
import { OPS, rowCount } from "../graph/ops.js";
import type { MemoryPlan, Placement } from "./memory-plan.js";
import { statisticsByWriter } from "./row-statistics.js";

/** A half-open byte range of an arena, and the value written to it last. */
interface Owned {
  readonly start: number;
  readonly end: number;
  readonly value: ValueId;
}

/** @throws VG_INTERNAL naming the value that is overwritten while it is still needed, or lies outside its arena. */
export function checkMemoryPlan(graph: Graph, plan: MemoryPlan): void {
  const memory = new Map<string, Owned[]>();
  const statistics = statisticsByWriter(graph);
  for (const node of graph.nodes) {
    for (const input of node.inputs) if (input !== null) expectOwned(graph, plan, memory, node, input);
    const { role } = OPS[node.op];
    // The kernel that writes the input has already written the companion.
    if (role === "companion") expectOwned(graph, plan, memory, node, node.id);
    else if (role !== "view") claim(graph, plan, memory, node.id);
    const written = statistics.get(node.id);
    if (written !== undefined) claim(graph, plan, memory, written);
  }
  for (const output of graph.outputs) expectOwned(graph, plan, memory, undefined, output);
}

/** The byte ranges of a value: one per row if the rows are strided, else one for all. */
function* ranges(graph: Graph, plan: MemoryPlan, id: ValueId): Generator<{ start: number; end: number }> {
  const { type } = nodeOf(graph, id);
  const { offset, dtype, rowStride } = plan.placements[id] as Placement;
  const rows = rowCount(type, plan.capacity);
  const rowBytes = type.columns * DTYPE_BYTES[dtype];
  if (rowStride === type.columns) {
    yield { start: offset, end: offset + rows * rowBytes };
    return;
  }
  for (let row = 0; row < rows; row++) {
    const start = offset + row * rowStride * DTYPE_BYTES[dtype];
    yield { start, end: start + rowBytes };
  }
}

function claim(graph: Graph, plan: MemoryPlan, memory: Map<string, Owned[]>, id: ValueId): void {
  const { arena } = plan.placements[id] as Placement;
  let owned = memory.get(arena) ?? [];
  const mine: Owned[] = [];
  for (const range of ranges(graph, plan, id)) {
    if (range.start < 0 || range.end > plan.arenaBytes[arena]) {
      throw broken(graph, id, `lies outside the ${arena} arena of ${plan.arenaBytes[arena]} bytes`);
    }
    mine.push({ ...range, value: id });
  }
  const first = mine[0]?.start ?? 0;
  const last = mine.at(-1)?.end ?? 0;
  owned = owned.flatMap((other) => {
    if (other.end <= first || other.start >= last) return [other];
    return mine.reduce((pieces, range) => pieces.flatMap((piece) => without(piece, range)), [other]);
  });
  memory.set(arena, [...owned, ...mine]);
}

function without(owned: Owned, cut: { start: number; end: number }): Owned[] {
  if (cut.end <= owned.start || cut.start >= owned.end) return [owned];
  return [
    { ...owned, end: cut.start },
    { ...owned, start: cut.end },
  ].filter(({ start, end }) => start < end);
}

function expectOwned(
  graph: Graph,
  plan: MemoryPlan,
  memory: Map<string, Owned[]>,
  reader: AnyNode | undefined,
  id: ValueId,
): void {
  const source = memoryOwner(graph, id);
  const { arena } = plan.placements[id] as Placement;
  const mine = (memory.get(arena) ?? [])
    .filter(({ value }) => value === source)
    .sort((a, b) => a.start - b.start);
  for (const range of ranges(graph, plan, id)) {
    let reached = range.start;
    for (const { start, end } of mine) if (start <= reached && end > reached) reached = end;
    if (reached < range.end) {
      const where = reader === undefined ? "at the end" : `when ${reader.name} (${reader.op}) reads it`;
      throw broken(graph, id, `is no longer in ${arena}+${reached} ${where}`);
    }
  }
}

function memoryOwner(graph: Graph, id: ValueId): ValueId {
  const node = nodeOf(graph, id);
  return OPS[node.op].role === "view" ? memoryOwner(graph, node.inputs[0] as ValueId) : id;
}

function broken(graph: Graph, id: ValueId, problem: string): VitgraphError {
  const { name, op } = nodeOf(graph, id);
  return new VitgraphError("VG_INTERNAL", `memory plan: ${name} (${op}, %${id}) ${problem}`);
}
