/**
 * Reads a checkpoint's tensor as float32, a few MiB at a time, in the order in which the GGUF has its values. llama.cpp
 * wants some tensors in another order than transformers does, or another function of them.
 */
import { bf16ToF32, f16ToF32, type TensorSource } from "@vitgraph/core";
import { describe, VitgraphError } from "@vitgraph/errors";

export interface RowRange {
  readonly first: number;
  readonly count: number;
}

/** At most one of `rows`, `columns` and `transposed`. */
export interface Transform {
  /** Rows of the checkpoint's tensor (its first dimension) in the GGUF's order. */
  readonly rows?: readonly RowRange[];
  /** For each column of the GGUF, its column in the checkpoint. */
  readonly columns?: Uint32Array;
  /** For a stack of matrices: takes these columns of each, transposed. */
  readonly transposed?: RowRange;
  readonly each?: (value: number) => number;
}

/** Elements in a chunk, unless a row, or a matrix to transpose, has more. */
const CHUNK_ELEMENTS = 2 ** 20;

/** Chunks of whole rows. @throws VG_WEIGHTS_INVALID */
export async function* readTensor(source: TensorSource, transform: Transform): AsyncGenerator<Float32Array> {
  const { rows, columns, transposed, each } = transform;
  const chunks =
    transposed !== undefined
      ? readTransposed(source, transposed)
      : readRows(source, rows ?? [{ first: 0, count: source.shape[0] as number }]);
  for await (const chunk of chunks) {
    const values = columns === undefined ? chunk : takeColumns(chunk, columns);
    yield each === undefined ? values : values.map(each);
  }
}

async function* readRows(source: TensorSource, ranges: readonly RowRange[]): AsyncGenerator<Float32Array> {
  const width = source.shape.slice(1).reduce((product, side) => product * side, 1);
  const rowsInChunk = Math.max(1, Math.floor(CHUNK_ELEMENTS / width));
  for (const { first, count } of ranges) {
    for (let done = 0; done < count; done += rowsInChunk) {
      const rows = Math.min(rowsInChunk, count - done);
      yield await readElements(source, (first + done) * width, rows * width);
    }
  }
}

function takeColumns(values: Float32Array, columns: Uint32Array): Float32Array {
  const taken = new Float32Array(values.length);
  for (let row = 0; row < values.length; row += columns.length)
    for (let i = 0; i < columns.length; i++) taken[row + i] = values[row + (columns[i] as number)] as number;
  return taken;
}

async function* readTransposed(
  source: TensorSource,
  { first, count }: RowRange,
): AsyncGenerator<Float32Array> {
  const [matrices, height, width] = source.shape as [number, number, number];
  for (let matrix = 0; matrix < matrices; matrix++) {
    const values = await readElements(source, matrix * height * width, height * width);
    const transposed = new Float32Array(count * height);
    for (let column = 0; column < count; column++)
      for (let row = 0; row < height; row++)
        transposed[column * height + row] = values[row * width + first + column] as number;
    yield transposed;
  }
}

const DTYPE_BYTES: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2 };

/** @throws VG_WEIGHTS_INVALID for a dtype that is none of F32, F16 and BF16 */
export function checkDtype({ name, dtype }: TensorSource): void {
  if (Object.hasOwn(DTYPE_BYTES, dtype)) return;
  throw new VitgraphError("VG_WEIGHTS_INVALID", `tensor ${describe(name)} has dtype ${describe(dtype)}`, {
    remedy: "the converter reads BF16, F16 and F32: save the checkpoint in one of them",
    details: { tensor: name, dtype },
  });
}

async function readElements(source: TensorSource, first: number, count: number): Promise<Float32Array> {
  const elementBytes = DTYPE_BYTES[source.dtype] as number;
  const bytes = new Uint8Array(count * elementBytes);
  await source.readSlice(first * elementBytes, bytes);
  if (source.dtype === "F32") return new Float32Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  return source.dtype === "BF16" ? bf16ToF32(halves) : f16ToF32(halves);
}
