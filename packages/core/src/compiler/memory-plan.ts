/**
 * The memory plan: an address for every value. A pure function of the graph, the capacity and the target; it needs no
 * device.
 *
 * Weights and constants are placed in `weights`, the host's inputs and the result in `io` (at fixed addresses), cached
 * tables in `cache`, and all other values in `scratch`, where memory is reused after the last use of a value. Views own
 * no memory. Tests verify plans with `check-memory-plan.ts`, which does not use this file.
 */
import { type ArenaName, DTYPE_BYTES, type DType, KERNELS, type KernelName } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import { type AnyNode, type Graph, type Node, nodeOf, type ValueId } from "../graph/graph.js";
import { type DimCounts, isProduct, OPS, type OpKind, rowCount } from "../graph/ops.js";
import { statisticsByWriter } from "./row-statistics.js";

/** The largest dim counts that a program supports. */
export type Capacity = DimCounts;

/** The properties of a device that the compiler needs. Plain data: compiling needs no device. */
export interface Target {
  readonly activationDType: DType;
  /** The dtype that weights are converted to at load; null to keep the checkpoint's. */
  readonly weightDType: DType | null;
  readonly kernels: ReadonlySet<KernelName>;
  /**
   * Fold norms into the products after them: saves a pass over memory, and rounds their weights once more to
   * `weightDType`. If weights keep the checkpoint's dtype, folded ones become f32.
   */
  readonly foldsNorms?: boolean;
  /** Row alignment of the inputs of matrix products, in bytes. Absent if any alignment is supported. */
  readonly rowAlignment?: number;
}

/** Dtypes of the checkpoint's tensors, by graph name. */
export type WeightDTypes = ReadonlyMap<string, DType>;

/** A value's memory: `rowStride` in elements, `offset` in bytes. Views point into the memory of another value. */
export interface Placement {
  readonly arena: ArenaName;
  readonly offset: number;
  readonly dtype: DType;
  readonly rowStride: number;
}

/** Where each value of a graph is in memory. */
export interface MemoryPlan {
  readonly capacity: Capacity;
  /** One per value, indexed by value id. */
  readonly placements: readonly Placement[];
  readonly arenaBytes: Readonly<Record<ArenaName, number>>;
  /** The result's memory: all outputs side by side, `columns` elements per row. */
  readonly result: { readonly offset: number; readonly columns: number };
}

/** Satisfies vector loads, TMA and cache lines. */
const ALIGNMENT_BYTES = 256;
export const alignedBytes = (bytes: number): number => Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

export function planMemory(
  graph: Graph,
  capacity: Capacity,
  target: Target,
  weightDTypes: WeightDTypes,
): MemoryPlan {
  const placements = new Array<Placement>(graph.nodes.length);
  const size = { weights: 0, io: 0, scratch: 0, cache: 0 };
  const readByProducts = findReadByProducts(graph);
  const strideOf = ({ id, type: { columns } }: AnyNode, dtype: DType): number => {
    const alignment = (target.rowAlignment ?? 1) / DTYPE_BYTES[dtype];
    return readByProducts.has(id) && alignment > 1 ? Math.ceil(columns / alignment) * alignment : columns;
  };
  const place = (node: AnyNode, arena: "weights" | "io" | "cache", dtype: DType): Placement => {
    const [offset, rowStride] = [size[arena], strideOf(node, dtype)];
    size[arena] += alignedBytes(spanBytes(node, capacity, dtype, rowStride));
    return { arena, offset, dtype, rowStride };
  };
  const placeInScratch = (node: AnyNode, dtype: DType): Placement => {
    const rowStride = strideOf(node, dtype);
    const bytes = alignedBytes(spanBytes(node, capacity, dtype, rowStride));
    const offset =
      offsetInPlace(graph, node, placements, lastUse, { rowStride, bytes }, scratch) ?? scratch.take(bytes);
    return { arena: "scratch", offset, dtype, rowStride };
  };

  const resultColumns = graph.outputs.reduce((sum, id) => sum + nodeOf(graph, id).type.columns, 0);
  const results = placeResults(graph, resultColumns, target);
  const resultRows = rowCount(nodeOf(graph, graph.outputs[0] as ValueId).type, capacity);
  size.io += alignedBytes(resultRows * resultColumns * DTYPE_BYTES[target.activationDType]);

  const lastUse = findLastUses(graph);
  const statistics = statisticsByWriter(graph);
  const scratch = new ScratchSpace();
  for (const node of graph.nodes) {
    const base = node.inputs[0] ?? null;
    if (node.op === "input") placements[node.id] = place(node, "io", elementDType(node, target));
    else if (node.op === "cached") placements[node.id] = place(node, "cache", elementDType(node, target));
    else if (node.op === "constant") placements[node.id] = place(node, "weights", "f32");
    else if (node.op === "weight")
      placements[node.id] = place(node, "weights", weightDType(node, target, weightDTypes));
    else if (OPS[node.op].role === "view")
      placements[node.id] = viewOf(node, placements[base as ValueId] as Placement);
    else if (node.op !== "row_statistics") {
      placements[node.id] = results.get(node.id) ?? placeInScratch(node, elementDType(node, target));
      // The kernel writes the statistics while it reads its inputs, so their memory must not overlap.
      const written = statistics.get(node.id);
      if (written !== undefined) placements[written] = placeInScratch(nodeOf(graph, written), "f32");
      releaseDeadInputs(graph, node, placements, lastUse, scratch);
    }
  }
  return {
    capacity,
    placements,
    arenaBytes: { ...size, scratch: scratch.peakBytes },
    result: { offset: 0, columns: resultColumns },
  };
}

/** The bytes of a value's rows when every dim is at its capacity. */
function spanBytes({ type }: AnyNode, capacity: Capacity, dtype: DType, rowStride: number): number {
  return rowCount(type, capacity) * rowStride * DTYPE_BYTES[dtype];
}

/** The value whose memory a view reads. For any other op, the value itself. */
export function baseOf(graph: Graph, id: ValueId): ValueId {
  const node = nodeOf(graph, id);
  return OPS[node.op].role === "view" ? baseOf(graph, node.inputs[0] as ValueId) : id;
}

/** Outputs are written directly to their columns of the result, which starts at offset 0 of `io`. */
function placeResults(graph: Graph, columns: number, target: Target): ReadonlyMap<ValueId, Placement> {
  const placed = new Map<ValueId, Placement>();
  let column = 0;
  for (const id of graph.outputs) {
    const node = nodeOf(graph, id);
    if (OPS[node.op].role !== "kernel" || placed.has(id)) {
      throw new VitgraphError(
        "VG_GRAPH_INVALID",
        `output ${node.name} is not written by a kernel, or is listed twice`,
        {
          remedy:
            "make each output the result of a different op with a kernel: views and leaves have no memory there",
        },
      );
    }
    const offset = column * DTYPE_BYTES[target.activationDType];
    placed.set(id, { arena: "io", offset, dtype: target.activationDType, rowStride: columns });
    column += node.type.columns;
  }
  return placed;
}

function viewOf(node: AnyNode, base: Placement): Placement {
  if (node.op === "slice_columns") {
    return { ...base, offset: base.offset + node.attributes.start * DTYPE_BYTES[base.dtype] };
  }
  if (node.op === "merge_rows") return { ...base, rowStride: base.rowStride * node.attributes.factor };
  throw new VitgraphError("VG_INTERNAL", `no view is known for ${node.op}`);
}

/** The index of the last node that reads each value, directly or through views. Infinity for outputs. */
function findLastUses(graph: Graph): readonly number[] {
  const last = new Array<number>(graph.nodes.length).fill(-1);
  for (const node of graph.nodes) {
    for (const input of node.inputs) if (input !== null) last[baseOf(graph, input)] = node.id;
  }
  for (const output of graph.outputs) last[baseOf(graph, output)] = Number.POSITIVE_INFINITY;
  return last;
}

/** Weights and inputs x of products, whose rows may be padded. Outputs and inputs of `merge_rows` must stay dense. */
function findReadByProducts(graph: Graph): ReadonlySet<ValueId> {
  const read = new Set<ValueId>();
  for (const { op, inputs } of graph.nodes) {
    if (isProduct(op)) for (const input of inputs.slice(0, 2)) read.add(input as ValueId);
  }
  for (const { op, inputs } of graph.nodes) if (op === "merge_rows") read.delete(inputs[0] as ValueId);
  for (const output of graph.outputs) read.delete(output);
  return read;
}

/** The offset of an input whose memory the value may overwrite, if the kernel supports it. */
function offsetInPlace(
  graph: Graph,
  node: AnyNode,
  placements: readonly Placement[],
  lastUse: readonly number[],
  { rowStride, bytes }: { readonly rowStride: number; readonly bytes: number },
  scratch: ScratchSpace,
): number | undefined {
  const shared = inPlaceInputs(node).find((id) => {
    // The node must be the input's last reader, read it once, and need exactly the input's memory.
    const readers = node.inputs.filter(
      (input) => input !== null && baseOf(graph, input) === baseOf(graph, id),
    );
    const own = placements[id];
    return (
      baseOf(graph, id) === id &&
      readers.length === 1 &&
      lastUse[id] === node.id &&
      own?.arena === "scratch" &&
      own.rowStride === rowStride &&
      scratch.bytesAt(own.offset) === bytes
    );
  });
  return shared === undefined ? undefined : (placements[shared] as Placement).offset;
}

function inPlaceInputs(node: AnyNode): readonly ValueId[] {
  const allowed: readonly string[] =
    (KERNELS as Record<string, { inPlace?: readonly string[] }>)[node.op]?.inPlace ?? [];
  return OPS[node.op].inputs.flatMap((name, index) => {
    const input = node.inputs[index] ?? null;
    return input !== null && allowed.includes(name) ? [input] : [];
  });
}

function releaseDeadInputs(
  graph: Graph,
  node: AnyNode,
  placements: readonly Placement[],
  lastUse: readonly number[],
  scratch: ScratchSpace,
): void {
  const own = placements[node.id] as Placement;
  const bases = new Set(node.inputs.flatMap((id) => (id === null ? [] : [baseOf(graph, id)])));
  for (const id of bases) {
    const placement = placements[id] as Placement;
    const takenOver = own.arena === "scratch" && own.offset === placement.offset;
    if (placement.arena === "scratch" && lastUse[id] === node.id && !takenOver)
      scratch.release(placement.offset);
  }
  // A value without readers is free as soon as it has been written.
  if (own.arena === "scratch" && lastUse[node.id] === -1) scratch.release(own.offset);
}

/** Best-fit allocator: the smallest free gap that fits, or the end. */
class ScratchSpace {
  /** Sizes of allocated blocks by offset. */
  readonly #taken = new Map<number, number>();
  peakBytes = 0;

  take(bytes: number): number {
    let best: { offset: number; gap: number } | undefined;
    let end = 0;
    for (const [offset, length] of [...this.#taken].sort(([a], [b]) => a - b)) {
      const gap = offset - end;
      if (gap >= bytes && gap < (best?.gap ?? Number.POSITIVE_INFINITY)) best = { offset: end, gap };
      end = offset + length;
    }
    const offset = best?.offset ?? end;
    this.#taken.set(offset, bytes);
    this.peakBytes = Math.max(this.peakBytes, offset + bytes);
    return offset;
  }

  release(offset: number): void {
    this.#taken.delete(offset);
  }

  bytesAt(offset: number): number | undefined {
    return this.#taken.get(offset);
  }
}

/** The dtype of a value that is not a weight. */
export function elementDType(
  node: Pick<AnyNode, "name" | "type">,
  target: Pick<Target, "activationDType">,
): DType {
  const { element } = node.type;
  if (element === "activation") return target.activationDType;
  if (element === "weight")
    throw new VitgraphError("VG_INTERNAL", `input ${node.name} has the dtype of a weight`);
  return element;
}

function weightDType(node: Node<"weight">, target: Target, dtypes: WeightDTypes): DType {
  const { folded, cosSinTable } = node.attributes;
  if (cosSinTable !== undefined || (folded !== undefined && folded.part !== "weight")) return "f32";
  if (target.weightDType !== null) return target.weightDType;
  if (folded !== undefined) return "f32";
  const dtype = dtypes.get(node.attributes.tensor);
  if (dtype === undefined) {
    throw new VitgraphError("VG_WEIGHTS_INVALID", `tensor ${node.attributes.tensor} has no dtype`, {
      remedy: "give the dtypes of all weights of the graph",
    });
  }
  return dtype;
}

/** The plan as text: `vitgraph print plan`. */
export function printMemoryPlan(graph: Graph, plan: MemoryPlan): string {
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
  const lines = [
    `capacity  ${Object.entries(plan.capacity)
      .map(([dim, count]) => `${dim} ${count}`)
      .join("  ")}`,
    ...Object.entries(plan.arenaBytes).map(([arena, bytes]) => `${arena.padEnd(9)} ${mebibytes(bytes)}`),
    `result    io+${plan.result.offset}, ${plan.result.columns} columns`,
  ];
  for (const node of graph.nodes) {
    const { arena, offset, dtype, rowStride } = plan.placements[node.id] as Placement;
    if (arena === "weights") continue;
    const bytes = spanBytes(node, plan.capacity, dtype, node.type.columns);
    const what = (OPS[node.op as OpKind].role === "view" ? "view" : `${bytes} B`).padStart(12);
    lines.push(
      `  %${String(node.id).padEnd(4)} ${what}  ${arena}+${offset}  ${dtype}/${rowStride}  # ${node.name}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
