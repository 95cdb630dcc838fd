/** Puts a graph's tensors and constants where the memory plan wants them, a slice at a time. */
import type { Arena, Device, DType } from "@vitgraph/cuda-kernels";
import { describe, VitgraphError } from "@vitgraph/errors";
import type { MemoryPlan, WeightDTypes } from "../compiler/memory-plan.js";
import type { Graph } from "../graph/graph.js";
import type { FoldedNorm, PairedRows, WeightAttributes } from "../graph/ops.js";
import type { TensorNames } from "../models/vision-model.js";
import { bf16ToF32, bytesOf, f16ToF32, f32ToBf16 } from "../numerics.js";
import type { Checkpoint } from "./checkpoint.js";
import { type FoldedVectors, foldRows, type NormTensors } from "./fold-weight.js";
import type { TensorSource } from "./tensor-source.js";
import { storedTensors, weightSource } from "./weight-source.js";

const WEIGHT_DTYPES: ReadonlyMap<string, DType> = new Map([
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
]);

/** Large enough for a disk to stream, small enough not to count beside the weights. */
const SLICE_BYTES = 8 * 2 ** 20;

export interface FoundWeights {
  /** By the graph's names. */
  readonly weights: ReadonlyMap<string, TensorSource>;
  /** The checkpoint's tensors that each of them is made of. */
  readonly stored: ReadonlyMap<string, readonly TensorSource[]>;
  /** The prefix under which all of them stand, where it is none of the family's. */
  readonly foreignPrefix: string | undefined;
}

/**
 * The checkpoint's names, without prefix, of the tensors that a graph is loaded from: what `Checkpoint.open` looks for.
 */
export function storedNames(graph: Graph, names: TensorNames): readonly string[] {
  return weightsOf(graph).flatMap((weight) =>
    storedTensors(weight).map(({ name }) => storedName(name, names)),
  );
}

/**
 * The graph's tensors in the checkpoint, each checked for shape before anything is read.
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
  return new Map(
    [...weights].map(([name, tensor]) => {
      const dtype = WEIGHT_DTYPES.get(tensor.dtype);
      if (dtype === undefined) {
        throw new VitgraphError(
          "VG_WEIGHTS_INVALID",
          `tensor ${describe(tensor.name)} has dtype ${describe(tensor.dtype)}`,
          {
            remedy: `vitgraph reads ${[...WEIGHT_DTYPES.keys()].join(", ")}: use a checkpoint whose vision tower has one of these dtypes`,
            details: { tensor: tensor.name, dtype: tensor.dtype },
          },
        );
      }
      return [name, dtype] as const;
    }),
  );
}

/** Streams everything into the weights arena. `onProgress` hears of the bytes done so far. */
export async function loadWeights(
  graph: Graph,
  plan: MemoryPlan,
  weights: ReadonlyMap<string, TensorSource>,
  device: Device,
  arena: Arena,
  onProgress?: (doneBytes: number, totalBytes: number) => void,
): Promise<void> {
  let slice = new Uint8Array(SLICE_BYTES);
  const totalBytes = [...weights.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let doneBytes = 0;
  // The vectors of a folded weight come after it, and are found with it.
  const vectors = new Map<string, FoldedVectors>();
  for (const node of graph.nodes) {
    const placement = plan.placements[node.id];
    if (placement === undefined) continue;
    if (node.op === "constant") {
      await device.upload(arena, placement.offset, bytesOf(node.attributes.data));
    }
    if (node.op !== "weight") continue;
    const tensor = weights.get(node.attributes.tensor) as TensorSource;
    const { shape, pairedRows, folded } = node.attributes;
    if (folded !== undefined && folded.part !== "weight") {
      const { [folded.part]: vector } = vectors.get(node.attributes.tensor) as FoldedVectors;
      await device.upload(arena, placement.offset, new Uint8Array(vector.buffer));
      continue;
    }
    const fold = folded === undefined ? undefined : await startFold(node.attributes, folded, weights);
    if (fold !== undefined) vectors.set(node.attributes.tensor, fold);
    const rowBytes = tensor.sizeBytes / (shape[0] as number);
    // Whole heads at a time where rows change places, and whole rows where they are folded.
    const headRows = pairedRows?.headSize ?? 1;
    const headBytes = pairedRows === undefined && fold === undefined ? 1 : headRows * rowBytes;
    const sliceBytes = Math.max(1, Math.floor(SLICE_BYTES / headBytes)) * headBytes;
    if (slice.length < sliceBytes) slice = new Uint8Array(sliceBytes);
    let offset = placement.offset;
    for (let start = 0; start < tensor.sizeBytes; start += sliceBytes) {
      const part = slice.subarray(0, Math.min(sliceBytes, tensor.sizeBytes - start));
      await tensor.readSlice(start, part);
      if (pairedRows !== undefined) {
        pairRows(
          part.subarray(0, Math.max(0, pairedRows.rows * rowBytes - start)),
          rowBytes,
          pairedRows.headSize,
        );
      }
      const converted =
        fold === undefined
          ? convertWeights(part, tensor.dtype, placement.dtype)
          : foldRows(toF32(part, tensor.dtype), start / rowBytes, fold, fold, placement.dtype);
      await device.upload(arena, offset, converted);
      offset += converted.length;
      doneBytes += part.length;
      onProgress?.(doneBytes, totalBytes);
    }
  }
}

type Fold = NormTensors & FoldedVectors;

async function startFold(
  { shape, pairedRows }: WeightAttributes,
  { norm, scale, offset = 0, shift, bias }: FoldedNorm,
  weights: ReadonlyMap<string, TensorSource>,
): Promise<Fold> {
  const read = async (name: string, paired?: PairedRows): Promise<Float32Array> => {
    const { sizeBytes, dtype, shape, readSlice } = weights.get(name) as TensorSource;
    const bytes = new Uint8Array(sizeBytes);
    await readSlice(0, bytes);
    const elementBytes = sizeBytes / (shape[0] as number);
    if (paired !== undefined)
      pairRows(bytes.subarray(0, paired.rows * elementBytes), elementBytes, paired.headSize);
    return toF32(bytes, dtype);
  };
  const rows = shape[0] as number;
  return {
    scale: (await read(scale)).map((value) => value + offset),
    shift: shift === undefined ? undefined : await read(shift),
    bias: bias === undefined ? undefined : await read(bias, pairedRows),
    centred: norm === "layernorm",
    u: new Float32Array(rows),
    v: new Float32Array(rows),
  };
}

/** `bytes` begin at their buffer's start. */
function toF32({ buffer, byteLength }: Uint8Array, dtype: string): Float32Array {
  if (dtype === "F32") return new Float32Array(buffer, 0, byteLength / 4);
  const halves = new Uint16Array(buffer, 0, byteLength / 2);
  return dtype === "BF16" ? bf16ToF32(halves) : f16ToF32(halves);
}

/** Puts the rows (i, i + headSize/2) of each head beside each other, in place. */
function pairRows(heads: Uint8Array, rowBytes: number, headSize: number): void {
  const headBytes = headSize * rowBytes;
  for (let start = 0; start < heads.length; start += headBytes) {
    const head = heads.slice(start, start + headBytes);
    for (let row = 0; row < headSize; row++) {
      const to = row < headSize / 2 ? 2 * row : 2 * row - headSize + 1;
      heads.set(head.subarray(row * rowBytes, (row + 1) * rowBytes), start + to * rowBytes);
    }
  }
}

/** The same values in the dtype that the device wants. Slices begin and end between elements. */
function convertWeights(bytes: Uint8Array, from: string, to: DType): Uint8Array {
  if (WEIGHT_DTYPES.get(from) === to) return bytes;
  if (to !== "bf16")
    throw new VitgraphError("VG_INTERNAL", `weights cannot be converted from ${from} to ${to}`);
  const { buffer, byteOffset, byteLength } = bytes;
  const values =
    from === "F32"
      ? new Float32Array(buffer, byteOffset, byteLength / 4)
      : f16ToF32(new Uint16Array(buffer, byteOffset, byteLength / 2));
  return new Uint8Array(f32ToBf16(values).buffer);
}
