/**
 * The program that fills rows of the grid cache: it computes the values that depend only on the grid from patch tables,
 * and scatters them to the rows given by an index.
 *
 * Its instructions are copied from the model's graph. The memory layout is planned here, because no graph op writes the
 * tables of the cache.
 */
import {
  type ArenaName,
  DTYPE_BYTES,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
} from "@vitgraph/cuda-kernels";
import type { AnyNode, Graph, ValueId } from "../graph/graph.js";
import { instructionOf } from "./lower.js";
import { alignedBytes, elementDType, type MemoryPlan, type Target } from "./memory-plan.js";
import { cacheNameOf, GRID_ROWS, type GridValues } from "./use-grid-cache.js";

/**
 * The graph that reads the cache, and a plan for it. Weights and cached tables have one address in all of its programs.
 */
export interface PlannedGraph {
  readonly graph: Graph;
  readonly plan: MemoryPlan;
}

/** @param patches maximum number of rows that one run fills */
export function fillProgram(
  values: GridValues,
  { graph, plan }: PlannedGraph,
  target: Pick<Target, "activationDType">,
  patches: number,
): Program {
  const buffers: ProgramBuffer[] = [];
  const size = { io: 0, scratch: 0 };
  const planned = (name: string): ProgramBuffer => {
    const node = graph.nodes.find((candidate) => candidate.name === name) as AnyNode;
    const { arena, offset, dtype, rowStride } = plan.placements[node.id]!;
    const { rows, columns } = node.type;
    return { name, arena, offset, dtype, rows, columns, rowStride };
  };
  const place = (
    arena: ArenaName & keyof typeof size,
    node: Pick<AnyNode, "name" | "type">,
  ): ProgramBuffer => {
    const { columns } = node.type;
    const dtype = elementDType(node, target);
    const offset = size[arena];
    size[arena] += alignedBytes(patches * columns * DTYPE_BYTES[dtype]);
    const rows = { dim: "patches", plus: 0 };
    return { name: node.name, arena, offset, dtype, rows, columns, rowStride: columns };
  };
  const add = (buffer: ProgramBuffer): ValueId => (buffers.push(buffer) - 1) as ValueId;

  const ids = new Map<ValueId, ValueId>();
  for (const node of values.weights) ids.set(node.id, add(planned(node.name)));
  for (const node of values.inputs) ids.set(node.id, add(place("io", node)));
  for (const node of values.computed) ids.set(node.id, add(place("scratch", node)));
  const index = add(place("io", GRID_ROWS_NODE));
  const numbered = (id: ValueId | null) => (id === null ? null : (ids.get(id) as ValueId));
  return {
    version: PROGRAM_VERSION,
    dims: [{ name: "patches", capacity: patches }],
    instructions: [
      ...values.computed.map((node) => {
        return instructionOf({
          ...node,
          id: numbered(node.id) as ValueId,
          inputs: node.inputs.map(numbered),
        });
      }),
      ...values.cached.map((node) => {
        const table = add(planned(cacheNameOf(node)));
        return {
          kernel: "scatter_rows" as const,
          buffers: [numbered(node.id) as ValueId, index, table],
          scalars: [],
        };
      }),
    ],
    buffers,
    arenaBytes: { ...size, weights: plan.arenaBytes.weights, cache: plan.arenaBytes.cache },
  };
}

const GRID_ROWS_NODE = {
  name: GRID_ROWS,
  type: { element: "i32", rows: { dim: "patches", plus: 0 }, columns: 1 },
} as const;
