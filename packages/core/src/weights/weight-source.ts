/** A weight of the graph out of the tensors that the checkpoint keeps it in. */
import { VitgraphError } from "@vitgraph/errors";
import type { OpAttributes } from "../graph/ops.js";
import { bf16ToF32, f16ToF32 } from "../numerics.js";
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
  { tensor, shape, plus, transposed }: WeightAttributes,
  stored: readonly TensorSource[],
): TensorSource {
  let source = stored.length === 1 ? (stored[0] as TensorSource) : joined(tensor, shape, stored);
  if (transposed) source = transposedSource(source);
  return plus === undefined ? source : raisedSource(source, plus);
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

/** A matrix's columns as rows. It is read once and kept until its last byte was asked for. */
function transposedSource(source: TensorSource): TensorSource {
  const [rows = 0, columns = 0] = source.shape;
  const elementBytes = source.sizeBytes / (rows * columns);
  return whole({ ...source, shape: [columns, rows] }, async () => {
    const bytes = await readAll(source);
    const result = new Uint8Array(bytes.length);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const from = (row * columns + column) * elementBytes;
        const to = (column * rows + row) * elementBytes;
        for (let byte = 0; byte < elementBytes; byte++) result[to + byte] = bytes[from + byte] as number;
      }
    }
    return result;
  });
}

/** Each element and `plus`, in float32: the sum may need more bits than the checkpoint's dtype has. */
function raisedSource(source: TensorSource, plus: number): TensorSource {
  const count = source.shape.reduce((product, side) => product * side, 1);
  return whole({ ...source, dtype: "F32", sizeBytes: 4 * count }, async () => {
    const values = floats(await readAll(source), source);
    return new Uint8Array(values.map((value) => value + plus).buffer);
  });
}

function whole(source: TensorSource, make: () => Promise<Uint8Array>): TensorSource {
  let made: Promise<Uint8Array> | undefined;
  return {
    ...source,
    async readSlice(start, target) {
      made ??= make();
      const bytes = await made;
      target.set(bytes.subarray(start, start + target.length));
      if (start + target.length === bytes.length) made = undefined;
    },
  };
}

async function readAll({ sizeBytes, readSlice }: TensorSource): Promise<Uint8Array> {
  const bytes = new Uint8Array(sizeBytes);
  await readSlice(0, bytes);
  return bytes;
}

function floats({ buffer }: Uint8Array, { dtype, name }: TensorSource): Float32Array {
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "BF16") return bf16ToF32(new Uint16Array(buffer));
  if (dtype === "F16") return f16ToF32(new Uint16Array(buffer));
  throw new VitgraphError("VG_WEIGHTS_INVALID", `tensor ${name} has dtype ${dtype}`, {
    remedy: "use a checkpoint whose vision tower has F32, F16 or BF16",
  });
}
