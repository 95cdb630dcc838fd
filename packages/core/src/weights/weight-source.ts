/** A weight of the graph out of the tensors that the checkpoint keeps it in. */
import { VitgraphError } from "@vitgraph/errors";
import type { OpAttributes } from "../graph/ops.js";
import type { TensorSource } from "./tensor-source.js";

type WeightAttributes = OpAttributes["weight"];

/** A tensor of the checkpoint with the shape that it must have there. */
export interface StoredTensor {
  /** By the graph's name. */
  readonly name: string;
  readonly shape: readonly number[];
}

export function storedTensors({
  tensor,
  shape,
  parts,
  transposed,
}: WeightAttributes): readonly StoredTensor[] {
  if (parts === undefined) return [{ name: tensor, shape: transposed ? [...shape].reverse() : shape }];
  const [rows = 0, ...rest] = shape;
  return parts.map((name) => ({ name, shape: [rows / parts.length, ...rest] }));
}

/** @param stored the sources of {@link storedTensors} */
export function weightSource(
  { tensor, shape, transposed }: WeightAttributes,
  stored: readonly TensorSource[],
): TensorSource {
  const source = stored.length === 1 ? (stored[0] as TensorSource) : joined(tensor, shape, stored);
  return transposed ? transposedSource(source) : source;
}

/** The rows of several tensors, one after the other. @throws VG_WEIGHTS_INVALID for tensors of several dtypes */
function joined(name: string, shape: readonly number[], parts: readonly TensorSource[]): TensorSource {
  const { dtype } = parts[0] as TensorSource;
  const other = parts.find((part) => part.dtype !== dtype);
  if (other !== undefined) {
    throw new VitgraphError(
      "VG_WEIGHTS_INVALID",
      `tensor ${other.name} has dtype ${other.dtype}, and ${parts[0]?.name} has ${dtype}`,
      { remedy: "convert the checkpoint to one dtype" },
    );
  }
  return {
    name,
    dtype,
    shape,
    sizeBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    async readSlice(start, target) {
      let partStart = 0;
      for (const part of parts) {
        const from = Math.max(start, partStart);
        const to = Math.min(start + target.length, partStart + part.sizeBytes);
        if (from < to) await part.readSlice(from - partStart, target.subarray(from - start, to - start));
        partStart += part.sizeBytes;
      }
    },
  };
}

/** A matrix's columns as rows. It is read whole, and kept until its last byte was asked for. */
function transposedSource(source: TensorSource): TensorSource {
  let transposed: Promise<Uint8Array> | undefined;
  return {
    ...source,
    shape: [...source.shape].reverse(),
    async readSlice(start, target) {
      transposed ??= readTransposed(source);
      const bytes = await transposed;
      const end = start + target.length;
      target.set(bytes.subarray(start, end));
      if (end === bytes.length) transposed = undefined;
    },
  };
}

async function readTransposed({ shape, sizeBytes, readSlice }: TensorSource): Promise<Uint8Array> {
  const [rows = 0, columns = 0] = shape;
  const elementBytes = sizeBytes / (rows * columns);
  const bytes = new Uint8Array(sizeBytes);
  await readSlice(0, bytes);
  const result = new Uint8Array(sizeBytes);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const from = (row * columns + column) * elementBytes;
      const to = (column * rows + row) * elementBytes;
      for (let byte = 0; byte < elementBytes; byte++) result[to + byte] = bytes[from + byte] as number;
    }
  }
  return result;
}
