/**
 * Derives a weight of the graph from the checkpoint's tensors.
 *
 * Most of a tower is read as stored. Weights derived here are computed on JavaScript's thread, a tensor at a time, so
 * loops over elements call no functions.
 */
import { VitgraphError } from "@vitgraph/errors";
import type { ReorderedElements, RepeatedRows, ResampledTable, WeightAttributes } from "../graph/ops.js";
import { bytesOf, concatenate } from "../numerics.js";
import { readFloats, type TensorSource } from "./tensor-source.js";

/** A tensor of the checkpoint with its required shape. */
export interface StoredTensor {
  /** Graph name. */
  readonly name: string;
  readonly shape: readonly number[];
}

export function storedTensors({
  tensor,
  shape,
  parts,
  transposed,
  stored = shape,
  literal,
  plus,
  rowScale,
}: WeightAttributes): readonly StoredTensor[] {
  if (literal !== undefined) return [];
  const [rows = 0, ...rest] = stored;
  const own =
    parts === undefined
      ? [{ name: tensor, shape: transposed ? [...stored].reverse() : stored }]
      : parts.map((name) => ({ name, shape: [rows / parts.length, ...rest] }));
  return [
    ...own,
    ...(plus === undefined ? [] : [{ name: plus.tensor, shape: plus.stored ?? shape }]),
    ...(rowScale === undefined ? [] : [{ name: rowScale, shape: shape.slice(0, 1) }]),
  ];
}

/** @param tensors the sources of {@link storedTensors} */
export function weightSource(weight: WeightAttributes, tensors: readonly TensorSource[]): TensorSource {
  const { tensor, shape, literal, parts, plus, summedColumns, resampled, factor } = weight;
  const { cosSinTable, appended } = weight;
  if (literal !== undefined) return computed(tensor, shape, async () => Float32Array.from(literal));
  if (cosSinTable !== undefined) {
    const angles = tensors[0] as TensorSource;
    return computed(angles.name, shape, async () => withAngles(cosSinTable, await readFloats(angles)));
  }
  if (appended !== undefined) {
    const rows = tensors[0] as TensorSource;
    return computed(rows.name, shape, async () => concatenate([await readFloats(rows), appended]));
  }
  const own = tensors.slice(0, parts?.length ?? 1);
  const [added, scale] = plus === undefined ? [undefined, tensors[own.length]] : tensors.slice(own.length);
  const isReduced = summedColumns !== undefined || resampled !== undefined;
  const source = isReduced ? (own[0] as TensorSource) : ownSource(weight, own);
  if (!isReduced && added === undefined && factor === undefined && scale === undefined) return source;
  return computed(source.name, shape, async () => {
    let values = await readFloats(source);
    if (summedColumns !== undefined) values = sumParts(values, shape[0] as number, summedColumns);
    if (resampled !== undefined) values = resample(values, resampled);
    if (added !== undefined) {
      const summand = await readFloats(part(added, shape, plus?.first));
      for (let at = 0; at < values.length; at++)
        values[at] = (values[at] as number) + (summand[at] as number);
    }
    if (factor !== undefined) scaleInPlace(values, factor);
    if (scale === undefined) return values;
    const columns = values.length / (shape[0] as number);
    for (const [row, rowFactor] of (await readFloats(scale)).entries())
      scaleInPlace(values.subarray(row * columns, (row + 1) * columns), rowFactor);
    return values;
  });
}

function withAngles(table: Float32Array, angles: Float32Array): Float32Array {
  const half = angles.length / 2;
  const values = new Float32Array(table.length + 2 * angles.length);
  values.set(table);
  for (const [at, angle] of angles.entries()) {
    const row = table.length + Math.floor(at / half) * angles.length;
    values[row + (at % half)] = Math.cos(angle);
    values[row + half + (at % half)] = Math.sin(angle);
  }
  return values;
}

function scaleInPlace(values: Float32Array, factor: number): void {
  for (let at = 0; at < values.length; at++) values[at] = (values[at] as number) * factor;
}

/** Adds the parts of `columns` elements of each row. */
function sumParts(values: Float32Array, rows: number, columns: number): Float32Array {
  const sums = new Float32Array(rows * columns);
  const rowLength = values.length / rows;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let at = row * rowLength + column; at < (row + 1) * rowLength; at += columns)
        sum += values[at] as number;
      sums[row * columns + column] = sum;
    }
  }
  return sums;
}

/** Resizes the table along its rows of cells, then along its columns. */
function resample(table: Float32Array, { axis }: ResampledTable): Float32Array {
  const side = (axis[0] as readonly number[]).length;
  const columns = table.length / side ** 2;
  return sumRows(sumRows(table, axis, side * columns), axis, columns);
}

/**
 * For each block of axis[0].length rows of `rowLength` elements: weighted sums of the rows, one per entry of `axis`.
 */
function sumRows(values: Float32Array, axis: ResampledTable["axis"], rowLength: number): Float32Array {
  const blockLength = (axis[0] as readonly number[]).length * rowLength;
  const sums = new Float32Array((values.length / blockLength) * axis.length * rowLength);
  let to = 0;
  for (let block = 0; block < values.length; block += blockLength) {
    for (const weights of axis) {
      for (const [row, weight] of weights.entries()) {
        if (weight === 0) continue;
        const from = block + row * rowLength;
        for (let at = 0; at < rowLength; at++)
          sums[to + at] = (sums[to + at] as number) + weight * (values[from + at] as number);
      }
      to += rowLength;
    }
  }
  return sums;
}

function ownSource(
  { tensor, shape, transposed, stored = shape, reordered, repeatedRows, first }: WeightAttributes,
  tensors: readonly TensorSource[],
): TensorSource {
  let source = tensors.length === 1 ? (tensors[0] as TensorSource) : joined(tensor, stored, tensors);
  if (transposed) source = transformed(source, [...source.shape].reverse(), transpose);
  if (reordered && first !== undefined) {
    // The part is copied, so that the rest is freed.
    return transformed(source, shape, (result, given) => {
      const whole = { ...given, bytes: new Uint8Array(given.bytes.length) };
      reorder(whole, given, reordered);
      const start = first * given.elementBytes;
      result.bytes.set(whole.bytes.subarray(start, start + result.bytes.length));
    });
  }
  if (reordered) {
    const own = reordered.padded === undefined ? stored : shape;
    source = transformed(source, own, (result, given) => reorder(result, given, reordered));
  }
  if (repeatedRows) {
    const rows = stored[0] as number;
    return transformed(source, shape, (result, given) =>
      repeatRows(result.bytes, given.bytes, given.bytes.length / rows, repeatedRows),
    );
  }
  if (first !== undefined || elements(source.shape) === elements(shape)) return part(source, shape, first);
  return transformed(source, shape, pad);
}

/** A part of the source: a tensor of `shape` that starts at element `first`. */
function part(source: TensorSource, shape: readonly number[], first = 0): TensorSource {
  const elementBytes = source.sizeBytes / elements(source.shape);
  const readSlice: TensorSource["readSlice"] = (start, target) =>
    source.readSlice(start + first * elementBytes, target);
  return { ...source, shape, sizeBytes: elements(shape) * elementBytes, readSlice };
}

/** A float32 source computed when it is first read, and freed after its last byte was read. */
function computed(
  name: string,
  shape: readonly number[],
  compute: () => Promise<Float32Array>,
): TensorSource {
  const sizeBytes = Float32Array.BYTES_PER_ELEMENT * elements(shape);
  const make = async () => bytesOf(await compute());
  return { name, dtype: "F32", shape, sizeBytes, readSlice: keptUntilRead(make, sizeBytes) };
}

function keptUntilRead(make: () => Promise<Uint8Array>, sizeBytes: number): TensorSource["readSlice"] {
  let made: Promise<Uint8Array> | undefined;
  return async (start, target) => {
    made ??= make().catch((error) => {
      // A device that is opened again reads again.
      made = undefined;
      throw error;
    });
    const bytes = await made;
    const end = start + target.length;
    target.set(bytes.subarray(start, end));
    if (end === sizeBytes) made = undefined;
  };
}

/** The rows of several tensors, concatenated. @throws VG_WEIGHTS_INVALID for tensors of different dtypes */
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

/** A matrix's or a vector's bytes. */
interface Matrix {
  readonly bytes: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly elementBytes: number;
}

/** A source that is read as a whole and transformed when it is first read, and freed after its last byte was read. */
function transformed(
  source: TensorSource,
  shape: readonly number[],
  fill: (result: Matrix, given: Matrix) => void,
): TensorSource {
  const elementBytes = source.sizeBytes / elements(source.shape);
  const sizeBytes = elements(shape) * elementBytes;
  const make = async () => {
    const given = new Uint8Array(source.sizeBytes);
    await source.readSlice(0, given);
    const result = new Uint8Array(sizeBytes);
    fill(matrix(result, shape, elementBytes), matrix(given, source.shape, elementBytes));
    return result;
  };
  return { ...source, shape, sizeBytes, readSlice: keptUntilRead(make, sizeBytes) };
}

function transpose(result: Matrix, given: Matrix): void {
  const [to, from] = [elementsOf(result), elementsOf(given)];
  const { rows, columns } = given;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++)
      to[column * rows + row] = from[row * columns + column] as number;
  }
}

function reorder(result: Matrix, given: Matrix, { sides, axes, places, padded }: ReorderedElements): void {
  const [to, from] = [elementsOf(result), elementsOf(given)];
  const counts = axes.map((axis) => sides[axis] as number);
  const fromStrides = axes.map((axis) => elements(sides.slice(axis + 1)));
  const toStrides = counts.map((_, at) => elements((padded ?? counts).slice(at + 1)));
  const copy = (axis: number, fromStart: number, toStart: number): void => {
    const count = counts[axis] as number;
    const [fromStride, toStride] = [fromStrides[axis] as number, toStrides[axis] as number];
    const order = places?.axis === axes[axis] ? places?.order : undefined;
    if (order === undefined && axis === axes.length - 1 && fromStride === 1 && count >= LONG_LINE) {
      to.set(from.subarray(fromStart, fromStart + count), toStart);
      return;
    }
    for (let at = 0; at < count; at++) {
      const place = fromStart + (order === undefined ? at : (order[at] as number)) * fromStride;
      if (axis < axes.length - 1) copy(axis + 1, place, toStart + at * toStride);
      else to[toStart + at] = from[place] as number;
    }
  };
  copy(0, 0, 0);
}

/** From this many elements on, `set` with a subarray is faster than copying element by element. */
const LONG_LINE = 128;

function repeatRows(
  result: Uint8Array,
  given: Uint8Array,
  rowBytes: number,
  { first, group, times }: RepeatedRows,
): void {
  result.set(given.subarray(0, first * rowBytes));
  const groupBytes = group * rowBytes;
  let to = first * rowBytes;
  for (let from = to; from < given.length; from += groupBytes) {
    for (let copy = 0; copy < times; copy++, to += groupBytes)
      result.set(given.subarray(from, from + groupBytes), to);
  }
}

function pad(result: Matrix, { bytes, rows, columns, elementBytes }: Matrix): void {
  const [from, to] = [columns * elementBytes, result.columns * elementBytes];
  for (let row = 0; row < rows; row++)
    result.bytes.set(bytes.subarray(row * from, (row + 1) * from), row * to);
}

function matrix(bytes: Uint8Array, shape: readonly number[], elementBytes: number): Matrix {
  const columns = shape.length === 1 ? (shape[0] as number) : elements(shape.slice(1));
  return { bytes, rows: elements(shape) / columns, columns, elementBytes };
}

/** The elements as bits: copies do not need their values. */
function elementsOf({ bytes, elementBytes }: Matrix): Uint16Array | Uint32Array {
  const View = elementBytes === 2 ? Uint16Array : Uint32Array;
  return new View(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / elementBytes);
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}
