/**
 * Loads a graph's tensors and constants to their addresses in the memory plan, in slices of which several are in
 * flight: while one is read, others are converted or uploaded. Native code converts, off JavaScript's thread.
 */
import {
  type Arena,
  convertFloats,
  type Device,
  DTYPE_BYTES,
  foldNorm,
  type NormOperands,
  type WeightDType,
} from "@vitgraph/cuda-kernels";
import type { MemoryPlan, Placement, WeightDTypes } from "../compiler/memory-plan.js";
import type { AnyNode, Graph, Node } from "../graph/graph.js";
import type { FoldedNorm, PairedRows, WeightAttributes } from "../graph/ops.js";
import type { TensorNames } from "../models/vision-model.js";
import { bytesOf } from "../numerics.js";
import type { Checkpoint } from "./checkpoint.js";
import { floatDType, readFloats, type TensorSource } from "./tensor-source.js";
import { storedTensors, weightSource } from "./weight-source.js";

/** Large enough for a disk to stream. The slices in flight, with their copies, are a few per cent of a tower. */
const SLICE_BYTES = 2 ** 20;

/** The threads of libuv's pool, which read and convert. */
const SLICES_IN_FLIGHT = 4;

export interface FoundWeights {
  /** Sources by graph name. */
  readonly weights: ReadonlyMap<string, TensorSource>;
  /** The checkpoint tensors that each weight is derived from, by graph name. */
  readonly stored: ReadonlyMap<string, readonly TensorSource[]>;
  /** The common prefix of the tensors in the checkpoint, if it is not one of the family's prefixes. */
  readonly foreignPrefix: string | undefined;
}

/** Checkpoint names, without prefix, of a graph's tensors, for `Checkpoint.open`. */
export function storedNames(graph: Graph, names: TensorNames): readonly string[] {
  return weightsOf(graph).flatMap((weight) =>
    storedTensors(weight).map(({ name }) => storedName(name, names)),
  );
}

/**
 * The graph's tensors in the checkpoint. Checks all shapes before any data is read.
 * @throws VG_WEIGHTS_INVALID
 */
export function findWeights(graph: Graph, checkpoint: Checkpoint, names: TensorNames): FoundWeights {
  const foreignPrefix = checkpoint.findForeignPrefix();
  const prefixes = foreignPrefix === undefined ? names.prefixes : [foreignPrefix];
  const weights = new Map<string, TensorSource>();
  const stored = new Map<string, readonly TensorSource[]>();
  for (const weight of weightsOf(graph)) {
    const tensors = storedTensors(weight).map(({ name, shape }) =>
      checkpoint.tensor(storedName(name, names), shape, prefixes),
    );
    stored.set(weight.tensor, tensors);
    weights.set(weight.tensor, weightSource(weight, tensors));
  }
  return { weights, stored, foreignPrefix };
}

function weightsOf(graph: Graph): readonly WeightAttributes[] {
  return graph.nodes.flatMap((node) => (node.op === "weight" ? [node.attributes] : []));
}

function storedName(tensor: string, { renamed = [] }: TensorNames): string {
  return renamed.reduce((name, [pattern, replacement]) => name.replace(pattern, replacement), tensor);
}

/** @throws VG_WEIGHTS_INVALID naming the first tensor whose dtype no kernel reads. */
export function weightDTypes(weights: ReadonlyMap<string, TensorSource>): WeightDTypes {
  return new Map([...weights].map(([name, tensor]) => [name, floatDType(tensor)]));
}

/** Loads everything into the weights arena. `onProgress` receives the bytes loaded so far. */
export async function loadWeights(
  graph: Graph,
  plan: MemoryPlan,
  weights: ReadonlyMap<string, TensorSource>,
  device: Device,
  arena: Arena,
  onProgress?: (doneBytes: number, totalBytes: number) => void,
): Promise<void> {
  const totalBytes = [...weights.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  const slices = slicesOf(graph, plan, weights);
  const loadInTurn = async () => {
    let memory = new Uint8Array(SLICE_BYTES);
    // A failure ends the shared generator, and thus the other loops.
    for (const { sizeBytes, derive } of slices) {
      if (memory.length < sizeBytes) memory = new Uint8Array(sizeBytes);
      for (const { offset, bytes } of await derive(memory.subarray(0, sizeBytes)))
        await device.upload(arena, offset, bytes);
      doneBytes += sizeBytes;
      onProgress?.(doneBytes, totalBytes);
    }
  };
  const loops = await Promise.allSettled(Array.from({ length: SLICES_IN_FLIGHT }, loadInTurn));
  const failure = loops.find((loop) => loop.status === "rejected");
  if (failure !== undefined) throw failure.reason;
}

interface Slice {
  /** Size of the slice in the source. */
  readonly sizeBytes: number;
  /** Reads the slice into `memory`, an array of `sizeBytes`, and converts it to uploads. */
  readonly derive: (memory: Uint8Array) => Promise<readonly Upload[]>;
}

interface Upload {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Computed sources need their slices read in order: `derive` starts reading when it is called. */
function* slicesOf(
  graph: Graph,
  plan: MemoryPlan,
  weights: ReadonlyMap<string, TensorSource>,
): Generator<Slice> {
  for (const [index, node] of graph.nodes.entries()) {
    const placement = plan.placements[node.id];
    if (placement === undefined) continue;
    if (node.op === "constant") {
      const bytes = bytesOf(node.attributes.data);
      yield { sizeBytes: 0, derive: async () => [{ offset: placement.offset, bytes }] };
    }
    if (node.op !== "weight") continue;
    const { tensor, folded } = node.attributes;
    const source = weights.get(tensor) as TensorSource;
    if (folded === undefined) yield* plainSlices(node, source, placement);
    if (folded?.part !== "weight") continue;
    const vector = (part: FoldedNorm["part"]): Placement => {
      const isVector = ({ op, attributes }: AnyNode) =>
        op === "weight" && attributes.tensor === tensor && attributes.folded?.part === part;
      const found = graph.nodes.slice(index).find(isVector) as AnyNode;
      return plan.placements[found.id] as Placement;
    };
    const placements = { weight: placement, u: vector("u"), v: vector("v") };
    yield* foldedSlices(node, source, placements, readNorm(node.attributes, folded, weights));
  }
}

function* plainSlices(
  { attributes: { shape, pairedRows }, type: { columns } }: Node<"weight">,
  source: TensorSource,
  placement: Placement,
): Generator<Slice> {
  const [from, to] = [floatDType(source), placement.dtype as WeightDType];
  // Each element of a vector counts as a row.
  const rowBytes = source.sizeBytes / (shape[0] as number);
  const isDense = placement.rowStride === columns;
  // Slices contain whole heads if rows are reordered, and whole rows if rows are padded.
  const headRows = pairedRows?.headSize;
  const unitBytes = headRows === undefined ? (isDense ? 1 : rowBytes) : headRows * rowBytes;
  for (const { start, sizeBytes } of cut(source.sizeBytes, unitBytes)) {
    const derive = async (memory: Uint8Array) => {
      await source.readSlice(start, memory);
      pairRows(memory, start, rowBytes, pairedRows);
      const bytes = from === to ? memory : await convertFloats(memory, from, to);
      if (isDense) return [{ offset: placement.offset + start * (bytes.length / memory.length), bytes }];
      return [spreadRows(bytes, start / rowBytes, columns, placement)];
    };
    yield { sizeBytes, derive };
  }
}

function* foldedSlices(
  { attributes: { pairedRows }, type: { columns } }: Node<"weight">,
  source: TensorSource,
  placements: Readonly<Record<FoldedNorm["part"], Placement>>,
  norm: Promise<NormOperands>,
): Generator<Slice> {
  const { weight, u, v } = placements;
  const rowBytes = columns * DTYPE_BYTES[floatDType(source)];
  for (const { start, sizeBytes } of cut(source.sizeBytes, (pairedRows?.headSize ?? 1) * rowBytes)) {
    const derive = async (memory: Uint8Array) => {
      const [{ bias, ...operands }] = await Promise.all([norm, source.readSlice(start, memory)]);
      pairRows(memory, start, rowBytes, pairedRows);
      const [first, rows] = [start / rowBytes, sizeBytes / rowBytes];
      const ofRows = { ...operands, bias: bias?.subarray(first, first + rows) };
      const folded = await foldNorm(memory, floatDType(source), ofRows, weight.dtype as WeightDType);
      return [
        spreadRows(folded.weight, first, columns, weight),
        { offset: u.offset + first * Float32Array.BYTES_PER_ELEMENT, bytes: bytesOf(folded.u) },
        { offset: v.offset + first * Float32Array.BYTES_PER_ELEMENT, bytes: bytesOf(folded.v) },
      ];
    };
    yield { sizeBytes, derive };
  }
}

/** Uploads for rows of `columns` elements at the placement's row stride, from its row `first`. */
function spreadRows(
  bytes: Uint8Array,
  first: number,
  columns: number,
  { offset, dtype, rowStride }: Placement,
): Upload {
  const rowBytes = columns * DTYPE_BYTES[dtype];
  const strideBytes = rowStride * DTYPE_BYTES[dtype];
  const start = offset + first * strideBytes;
  if (rowBytes === strideBytes) return { offset: start, bytes };
  const rows = bytes.length / rowBytes;
  const spread = new Uint8Array(rows * strideBytes);
  for (let row = 0; row < rows; row++)
    spread.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), row * strideBytes);
  return { offset: start, bytes: spread };
}

/** Cuts `totalBytes` into slices of whole units. */
function* cut(totalBytes: number, unitBytes: number): Generator<{ start: number; sizeBytes: number }> {
  const sliceBytes = Math.max(1, Math.floor(SLICE_BYTES / unitBytes)) * unitBytes;
  for (let start = 0; start < totalBytes; start += sliceBytes)
    yield { start, sizeBytes: Math.min(sliceBytes, totalBytes - start) };
}

async function readNorm(
  { pairedRows }: WeightAttributes,
  { norm, scale, offset = 0, shift, bias }: FoldedNorm,
  weights: ReadonlyMap<string, TensorSource>,
): Promise<NormOperands> {
  const read = async (name: string, paired?: PairedRows): Promise<Float32Array> => {
    const vector = await readFloats(weights.get(name) as TensorSource);
    pairRows(bytesOf(vector), 0, vector.BYTES_PER_ELEMENT, paired);
    return vector;
  };
  return {
    scale: (await read(scale)).map((value) => value + offset),
    shift: shift === undefined ? undefined : await read(shift),
    bias: bias === undefined ? undefined : await read(bias, pairedRows),
    centred: norm === "layernorm",
  };
}

/**
 * Makes the rows (i, i + headSize/2) of each head adjacent, in place. The bytes are whole heads, from byte `start` of
 * their tensor.
 */
function pairRows(
  bytes: Uint8Array,
  start: number,
  rowBytes: number,
  { rows, headSize }: PairedRows = { rows: 0, headSize: 1 },
): void {
  const heads = bytes.subarray(0, Math.max(0, rows * rowBytes - start));
  const headBytes = headSize * rowBytes;
  for (let at = 0; at < heads.length; at += headBytes) {
    const head = heads.slice(at, at + headBytes);
    for (let row = 0; row < headSize; row++) {
      const to = row < headSize / 2 ? 2 * row : 2 * row - headSize + 1;
      heads.set(head.subarray(row * rowBytes, (row + 1) * rowBytes), at + to * rowBytes);
    }
  }
}
