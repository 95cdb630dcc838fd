/** Puts a graph's tensors and constants where the memory plan wants them, a slice at a time. */
import type { Arena, Device, DType } from "@vitgraph/cuda-kernels";
import { VitgraphError } from "@vitgraph/errors";
import type { MemoryPlan, WeightDTypes } from "../compiler/memory-plan.js";
import type { Graph } from "../graph/graph.js";
import { f16ToF32, f32ToBf16 } from "../numerics.js";
import type { Checkpoint } from "./checkpoint.js";
import type { TensorSource } from "./tensor-source.js";
import { quote } from "./untrusted-json.js";

const WEIGHT_DTYPES: ReadonlyMap<string, DType> = new Map([
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
]);

/** Large enough for a disk to stream, small enough not to count beside the weights. */
const SLICE_BYTES = 8 * 2 ** 20;

/** The graph's tensors in the checkpoint, each checked for shape and dtype before anything is read. */
export function findWeights(
  graph: Graph,
  checkpoint: Checkpoint,
  prefixes: readonly string[],
): ReadonlyMap<string, TensorSource> {
  const found = new Map<string, TensorSource>();
  for (const node of graph.nodes) {
    if (node.op !== "weight") continue;
    const { tensor, shape } = node.attributes;
    found.set(tensor, checkpoint.tensor(tensor, shape, prefixes));
  }
  return found;
}

/** @throws VG_WEIGHTS_INVALID naming the first tensor whose dtype no kernel reads. */
export function weightDTypes(weights: ReadonlyMap<string, TensorSource>): WeightDTypes {
  return new Map(
    [...weights].map(([name, tensor]) => {
      const dtype = WEIGHT_DTYPES.get(tensor.dtype);
      if (dtype === undefined) {
        throw new VitgraphError(
          "VG_WEIGHTS_INVALID",
          `tensor ${quote(tensor.name)} has dtype ${quote(tensor.dtype)}`,
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
  for (const node of graph.nodes) {
    const placement = plan.placements[node.id];
    if (placement === undefined) continue;
    if (node.op === "constant") {
      const { buffer, byteOffset, byteLength } = node.attributes.data;
      await device.upload(arena, placement.offset, new Uint8Array(buffer, byteOffset, byteLength));
    }
    if (node.op !== "weight") continue;
    const tensor = weights.get(node.attributes.tensor) as TensorSource;
    const { shape, pairedRows } = node.attributes;
    const rowBytes = tensor.sizeBytes / (shape[0] as number);
    // Whole heads at a time where rows change places.
    const headBytes = pairedRows === undefined ? 1 : pairedRows.headSize * rowBytes;
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
      const converted = convertWeights(part, tensor.dtype, placement.dtype);
      await device.upload(arena, offset, converted);
      offset += converted.length;
      doneBytes += part.length;
      onProgress?.(doneBytes, totalBytes);
    }
  }
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
