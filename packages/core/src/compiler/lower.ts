/** Graph and memory plan → Program: one instruction for each op with a kernel, in order. */
import {
  ACTIVATIONS,
  type Instruction,
  NORMS,
  PROGRAM_VERSION,
  type Program,
  type ProgramBuffer,
} from "@vitgraph/cuda-kernels";
import type { AnyNode, Graph, Node, ValueId } from "../graph/graph.js";
import { nodeOf } from "../graph/graph.js";
import { OPS, type OpAttributes, type OpKind } from "../graph/ops.js";
import type { MemoryPlan, Placement } from "./memory-plan.js";
import { statisticsByWriter } from "./row-statistics.js";

/** The buffer that holds all outputs side by side. */
export const RESULT_BUFFER = "result";

/** Ops with the role `kernel`: each lowers to the kernel of its name. */
type KernelOp = {
  [K in OpKind]: K extends
    | "input"
    | "weight"
    | "constant"
    | "cached"
    | "slice_columns"
    | "merge_rows"
    | "row_statistics"
    ? never
    : K;
}[OpKind];

/** A kernel's scalars, in the order of its signature. */
const SCALARS: { readonly [K in KernelOp]: (attributes: OpAttributes[K]) => readonly number[] } = {
  unpack_patches: ({ channels, temporal, patchArea }) => [channels, temporal, patchArea],
  linear: ({ activation }) => [ACTIVATIONS.indexOf(activation)],
  linear_rope: ({ heads }) => [heads],
  layernorm: ({ epsilon }) => [epsilon],
  activation: (attributes) => [ACTIVATIONS.indexOf(attributes.function)],
  add: () => [],
  interpolate_rows: () => [],
  rope: ({ heads }) => [heads],
  rope_qk: ({ heads }) => [heads],
  attention: ({ heads, scale }) => [heads, scale],
  rmsnorm: ({ epsilon, weightOffset }) => [epsilon, weightOffset],
  gate: (attributes) => [ACTIVATIONS.indexOf(attributes.function)],
  mean_groups: () => [],
  gather_rows: () => [],
  assemble_rows: () => [],
  rmsnorm_groups: ({ groups, epsilon }) => [groups, epsilon],
  clamp: () => [],
  standardize: ({ factor }) => [factor],
  linear_gather_rows: ({ activation }) => [ACTIVATIONS.indexOf(activation)],
  linear_norm: ({ activation, norm, epsilon }) => [ACTIVATIONS.indexOf(activation), NORMS[norm], epsilon],
  linear_norm_rope: ({ heads, norm, epsilon }) => [heads, NORMS[norm], epsilon],
};

export function lower(graph: Graph, plan: MemoryPlan): Program {
  const buffers = graph.nodes.map((node) => bufferOf(node, plan.placements[node.id] as Placement));
  const result = bufferOfResult(graph, plan);
  const statistics = statisticsByWriter(graph);
  const instructions = graph.nodes.filter(runs).map((node) => {
    const written = statistics.get(node.id);
    return written === undefined ? instructionOf(node) : writerOf(node, written);
  });
  return {
    version: PROGRAM_VERSION,
    dims: Object.entries(plan.capacity).map(([name, capacity]) => ({ name, capacity })),
    arenaBytes: plan.arenaBytes,
    buffers: [...buffers, result],
    instructions,
  };
}

function runs(node: AnyNode): boolean {
  return OPS[node.op].role === "kernel";
}

// A buffer's index in the program is its value's id in the graph; the result buffer is the last.
function bufferOf(node: AnyNode, { arena, offset, dtype, rowStride }: Placement): ProgramBuffer {
  return {
    name: node.name,
    arena,
    offset,
    dtype,
    rows: node.type.rows,
    columns: node.type.columns,
    rowStride,
  };
}

function bufferOfResult(graph: Graph, plan: MemoryPlan): ProgramBuffer {
  const first = graph.outputs[0] as ValueId;
  const { dtype } = plan.placements[first] as Placement;
  const { offset, columns } = plan.result;
  const { rows } = nodeOf(graph, first).type;
  return { name: RESULT_BUFFER, arena: "io", offset, dtype, rows, columns, rowStride: columns };
}

/** The instruction of a node. Buffer indices are value ids. */
export function instructionOf(node: AnyNode): Instruction {
  const scalars = scalarsOf(node as Node<KernelOp>);
  const inputs: number[] = OPS[node.op].inputs.map((_, index) => node.inputs[index] ?? -1);
  return { kernel: node.op as KernelOp, buffers: [...inputs, node.id], scalars };
}

/** The instruction of a product that also writes the statistics of its rows. */
function writerOf({ op, inputs, id }: AnyNode, statistics: ValueId): Instruction {
  const gathers = op === "linear_gather_rows";
  const [x = -1, weight = -1, bias, ...others] = inputs;
  const [residual, table, index] = gathers ? [null, ...others] : [others[0], null, null];
  const buffers = [x, weight, bias, residual, table, index].map((input) => input ?? -1);
  return { kernel: "linear_statistics", buffers: [...buffers, statistics, id], scalars: [] };
}

function scalarsOf<K extends KernelOp>(node: Node<K>): readonly number[] {
  return (SCALARS[node.op] as (attributes: OpAttributes[K]) => readonly number[])(node.attributes);
}
