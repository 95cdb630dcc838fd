import { describe, expect, test } from "vitest";
import { f32ToBf16, f32ToF16 } from "../numerics.js";
import type { TensorSource } from "./tensor-source.js";
import { storedTensors, weightSource } from "./weight-source.js";

function tensor(
  name: string,
  shape: readonly number[],
  values: readonly number[],
  dtype = "BF16",
): TensorSource {
  const bytes = new Uint8Array(Uint16Array.from(values).buffer);
  return {
    name,
    dtype,
    shape,
    sizeBytes: bytes.length,
    async readSlice(start, target) {
      target.set(bytes.subarray(start, start + target.length));
    },
  };
}

/** The elements, read in slices of `sliceBytes` bytes. */
async function valuesOf(source: TensorSource, sliceBytes: number): Promise<readonly number[]> {
  const bytes = new Uint8Array(source.sizeBytes);
  for (let start = 0; start < bytes.length; start += sliceBytes)
    await source.readSlice(start, bytes.subarray(start, start + sliceBytes));
  return [...new Uint16Array(bytes.buffer)];
}

test.each([1, 2, 5, 64])("parts are concatenated, in slices of %i bytes", async (sliceBytes) => {
  const weight = { tensor: "qkv.weight", shape: [6, 2], parts: ["q", "k", "v"] };
  expect(storedTensors(weight)).toEqual(["q", "k", "v"].map((name) => ({ name, shape: [2, 2] })));
  const parts = [
    tensor("q", [2, 2], [1, 2, 3, 4]),
    tensor("k", [2, 2], [5, 6, 7, 8]),
    tensor("v", [2, 2], [9, 10, 11, 12]),
  ];
  const source = weightSource(weight, parts);
  expect(source).toMatchObject({ name: "qkv.weight", dtype: "BF16", shape: [6, 2], sizeBytes: 24 });
  expect(await valuesOf(source, sliceBytes)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

test.each([
  { tensor: "computed", shape: [2, 1], stored: [2, 2], summedColumns: 1 },
  { tensor: "remade", shape: [2, 2], transposed: true },
])("$tensor is read again after a read that failed", async (weight) => {
  const given = tensor("w", [2, 2], [0x3f80, 0x4000, 0x4040, 0x4080]);
  let reads = 0;
  const readSlice: TensorSource["readSlice"] = async (start, target) => {
    if (++reads === 1) throw new Error("EIO");
    return given.readSlice(start, target);
  };
  const source = weightSource(weight, [{ ...given, readSlice }]);
  await expect(valuesOf(source, 2)).rejects.toThrow("EIO");
  expect(await valuesOf(source, 2)).toEqual(await valuesOf(weightSource(weight, [given]), 2));
});

test("parts of two dtypes are refused", () => {
  const parts = [tensor("q", [1], [1]), tensor("k", [1], [2], "F16")];
  expect(() => weightSource({ tensor: "qk", shape: [2], parts: ["q", "k"] }, parts)).toThrow(
    "tensor k has dtype F16, and q has BF16: convert the checkpoint to one dtype",
  );
});

test("missing rows and columns are zeros", async () => {
  const weight = { tensor: "w", shape: [3, 4], stored: [2, 3] };
  expect(storedTensors(weight)).toEqual([{ name: "w", shape: [2, 3] }]);
  const source = weightSource(weight, [tensor("w", [2, 3], [1, 2, 3, 4, 5, 6])]);
  expect(source).toMatchObject({ shape: [3, 4], sizeBytes: 24 });
  expect(await valuesOf(source, 5)).toEqual([1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0]);
  const bias = weightSource({ tensor: "b", shape: [4], stored: [3] }, [tensor("b", [3], [1, 2, 3])]);
  expect(await valuesOf(bias, 8)).toEqual([1, 2, 3, 0]);
});

test.each([1, 4, 64])(
  "a transposed matrix has its columns as rows, in slices of %i bytes",
  async (sliceBytes) => {
    const weight = { tensor: "projection", shape: [3, 2], transposed: true };
    expect(storedTensors(weight)).toEqual([{ name: "projection", shape: [2, 3] }]);
    const source = weightSource(weight, [tensor("projection", [2, 3], [1, 2, 3, 4, 5, 6])]);
    expect(source.shape).toEqual([3, 2]);
    expect(await valuesOf(source, sliceBytes)).toEqual([1, 4, 2, 5, 3, 6]);
    expect(await valuesOf(source, sliceBytes)).toEqual([1, 4, 2, 5, 3, 6]);
  },
);

test.each([1, 7, 64])("elements are reordered, in slices of %i bytes", async (sliceBytes) => {
  // A convolution of 2 channels over 1 × 3 patches, as [row, patch, channel].
  const weight = { tensor: "w", shape: [2, 6], stored: [2, 2, 1, 3] };
  const reordered = { sides: [2, 2, 1, 3], axes: [0, 2, 3, 1] };
  const stored = tensor("w", [2, 2, 1, 3], [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]);
  const source = weightSource({ ...weight, reordered }, [stored]);
  expect(source.shape).toEqual([2, 6]);
  expect(await valuesOf(source, sliceBytes)).toEqual([0, 10, 1, 11, 2, 12, 20, 30, 21, 31, 22, 32]);
});

test("columns of a matrix are a part of its reordered elements, and nothing is kept after a read", async () => {
  const weight = {
    tensor: "w.1",
    shape: [2, 2],
    parts: ["w"],
    stored: [2, 6],
    reordered: { sides: [2, 3, 2], axes: [1, 0, 2] },
    first: 4,
  };
  expect(storedTensors(weight)).toEqual([{ name: "w", shape: [2, 6] }]);
  const given = tensor("w", [2, 6], [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]);
  let reads = 0;
  const readSlice: TensorSource["readSlice"] = (start, target) => {
    reads++;
    return given.readSlice(start, target);
  };
  const source = weightSource(weight, [{ ...given, readSlice }]);
  expect(source).toMatchObject({ shape: [2, 2], sizeBytes: 8 });
  for (const time of [1, 2]) {
    expect(await valuesOf(source, 3)).toEqual([2, 3, 12, 13]);
    expect(reads).toBe(time);
  }
});

test.each([
  [
    [7, 1],
    [5, 1],
  ],
  [[7], [5]],
])("groups of rows repeat: %j of %j", async (shape, stored) => {
  const weight = { tensor: "kv", shape, stored, repeatedRows: { first: 3, group: 1, times: 2 } };
  expect(storedTensors(weight)).toEqual([{ name: "kv", shape: stored }]);
  const source = weightSource(weight, [tensor("kv", stored, [1, 2, 3, 4, 5])]);
  expect(source.shape).toEqual(shape);
  expect(await valuesOf(source, 5)).toEqual([1, 2, 3, 4, 4, 5, 5]);
});

test("groups of several rows are repeated group by group", async () => {
  const weight = {
    tensor: "kv",
    shape: [9, 1],
    stored: [5, 1],
    repeatedRows: { first: 1, group: 2, times: 2 },
  };
  const source = weightSource(weight, [tensor("kv", [5, 1], [1, 2, 3, 4, 5])]);
  expect(await valuesOf(source, 64)).toEqual([1, 2, 3, 2, 3, 4, 5, 4, 5]);
});

test("a table is resampled along both axes by weighted sums", async () => {
  const table = tensor(
    "t",
    [4, 1],
    [1, 2, 3, 4].map((value) => f32ToBf16(Float32Array.of(value))[0] as number),
  );
  const axis = [
    [1, 0],
    [0, 1],
    [0.5, 0.25],
  ];
  const weight = { tensor: "t", shape: [9, 1], stored: [4, 1], resampled: { axis } };
  expect(storedTensors(weight)).toEqual([{ name: "t", shape: [4, 1] }]);
  const bytes = new Uint8Array(36);
  await weightSource(weight, [table]).readSlice(0, bytes);
  // Rows (1, 2), (3, 4), and 0.5 · (1, 2) + 0.25 · (3, 4); the same sums along the columns.
  expect([...new Float32Array(bytes.buffer)]).toEqual([1, 2, 1, 3, 4, 2.5, 1.25, 2, 1.125]);
});

test("reordered elements are padded with zeros to the new sides", async () => {
  // Two heads of two pairs [pair, element] become [element, pair], with a third pair of zeros.
  const reordered = { sides: [2, 2, 2], axes: [0, 2, 1], padded: [2, 2, 3] };
  const source = weightSource({ tensor: "q", shape: [12], stored: [8], reordered }, [
    tensor("q", [8], [1, 2, 3, 4, 5, 6, 7, 8]),
  ]);
  expect(source.shape).toEqual([12]);
  expect(await valuesOf(source, 6)).toEqual([1, 3, 0, 2, 4, 0, 5, 7, 0, 6, 8, 0]);
  const columns = { sides: [1, 2, 2], axes: [0, 2, 1], padded: [1, 3, 2] };
  const wide = weightSource({ tensor: "o", shape: [1, 6], stored: [1, 4], reordered: columns }, [
    tensor("o", [1, 4], [1, 2, 3, 4]),
  ]);
  expect(await valuesOf(wide, 64)).toEqual([1, 3, 2, 4, 0, 0]);
});

test.each([1, 8, 64])("the places along an axis are permuted, in slices of %i bytes", async (sliceBytes) => {
  const places = { axis: 1, order: [2, 0, 1] };
  // Two heads of three rows of two columns, and the same heads as columns.
  const rows = { sides: [2, 3, 2], axes: [0, 1, 2], places };
  const source = weightSource({ tensor: "q", shape: [6, 2], reordered: rows }, [
    tensor("q", [6, 2], [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51]),
  ]);
  expect(await valuesOf(source, sliceBytes)).toEqual([20, 21, 0, 1, 10, 11, 50, 51, 30, 31, 40, 41]);
  const columns = { sides: [4, 3], axes: [0, 1], places };
  const output = weightSource({ tensor: "o", shape: [2, 6], reordered: columns }, [
    tensor("o", [2, 6], [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]),
  ]);
  expect(await valuesOf(output, sliceBytes)).toEqual([2, 0, 1, 5, 3, 4, 12, 10, 11, 15, 13, 14]);
});

test("places along a permuted axis are counted in the checkpoint's sides", async () => {
  const reordered = { sides: [2, 3], axes: [1, 0], places: { axis: 1, order: [2, 0, 1] } };
  const source = weightSource({ tensor: "w", shape: [6], reordered }, [tensor("w", [6], [0, 1, 2, 3, 4, 5])]);
  expect(await valuesOf(source, 64)).toEqual([2, 5, 0, 3, 1, 4]);
});

test("learned angles become two rows after a table: cosines and sines of each half", async () => {
  const cosSinTable = Float32Array.of(1, 2, 3, 4);
  const weight = { tensor: "angles", shape: [3, 4], stored: [1, 4], cosSinTable };
  expect(storedTensors(weight)).toEqual([{ name: "angles", shape: [1, 4] }]);
  const angles = [0.5, 1, -2, 3];
  const expected = [angles.slice(0, 2), angles.slice(2)].flatMap((half) =>
    [Math.cos, Math.sin].map((fn) => half.map(fn)),
  );
  const source = weightSource(weight, [tensor("angles", [1, 4], bf16(angles))]);
  expect(await floatsOf(source)).toEqual([...cosSinTable, ...expected.flat().map(Math.fround)]);
});

test("constant rows are appended to those of the tensor", async () => {
  const weight = { tensor: "table", shape: [3, 2], stored: [1, 2, 2], appended: Float32Array.of(0, 1) };
  expect(storedTensors(weight)).toEqual([{ name: "table", shape: [1, 2, 2] }]);
  const source = weightSource(weight, [tensor("table", [1, 2, 2], bf16([1, -2, 3, 0.5]))]);
  expect(source.shape).toEqual([3, 2]);
  expect(await floatsOf(source)).toEqual([1, -2, 3, 0.5, 0, 1]);
});

test("a literal needs no tensor", async () => {
  const weight = { tensor: "limit", shape: [2], literal: [Number.NEGATIVE_INFINITY, 1.5] };
  expect(storedTensors(weight)).toEqual([]);
  const bytes = new Uint8Array(8);
  await weightSource(weight, []).readSlice(0, bytes);
  expect([...new Float32Array(bytes.buffer)]).toEqual([Number.NEGATIVE_INFINITY, 1.5]);
});

test("parts are concatenated before their elements are reordered", async () => {
  const weight = { tensor: "qk", shape: [4], parts: ["q", "k"], reordered: { sides: [2, 2], axes: [1, 0] } };
  const source = weightSource(weight, [tensor("q", [2], [1, 2]), tensor("k", [2], [3, 4])]);
  expect(await valuesOf(source, 8)).toEqual([1, 3, 2, 4]);
});

test("a weight that is a part of a tensor reads only that part", async () => {
  const weight = { tensor: "w", shape: [1, 2], stored: [3, 2], first: 4 };
  const source = weightSource(weight, [tensor("w", [3, 2], [1, 2, 3, 4, 5, 6])]);
  expect(source).toMatchObject({ shape: [1, 2], sizeBytes: 4 });
  expect(await valuesOf(source, 3)).toEqual([5, 6]);
});

/** The bits of numbers that are exact in bfloat16. */
const bf16 = (values: readonly number[]) => [...f32ToBf16(Float32Array.from(values))];

async function floatsOf(source: TensorSource): Promise<readonly number[]> {
  expect(source.dtype).toBe("F32");
  const bytes = new Uint8Array(source.sizeBytes);
  for (let start = 0; start < bytes.length; start += 5)
    await source.readSlice(start, bytes.subarray(start, start + 5));
  return [...new Float32Array(bytes.buffer)];
}

test("a tensor and the first row of another are added in float32", async () => {
  const plus = { tensor: "table", stored: [2, 2] };
  const weight = { tensor: "class", shape: [1, 2], stored: [2], plus };
  expect(storedTensors(weight)).toEqual([
    { name: "class", shape: [2] },
    { name: "table", shape: [2, 2] },
  ]);
  const source = weightSource(weight, [
    tensor("class", [2], bf16([1, 2])),
    tensor("table", [2, 2], bf16([0.0078125, 8, 100, 100])),
  ]);
  expect(source.shape).toEqual([1, 2]);
  expect(await floatsOf(source)).toEqual([1.0078125, 10]);
});

test("layer scale multiplies the rows of a weight and of its bias in float32", async () => {
  const scale = tensor("lambda", [2], bf16([1.0078125, 0.5]));
  const weight = { tensor: "w", shape: [2, 2], rowScale: "lambda" };
  expect(storedTensors(weight).at(-1)).toEqual({ name: "lambda", shape: [2] });
  const scaled = weightSource(weight, [tensor("w", [2, 2], bf16([1.0078125, 2, 3, 4])), scale]);
  expect(await floatsOf(scaled)).toEqual([1.0078125 ** 2, 2.015625, 1.5, 2]);
  const bias = weightSource({ ...weight, shape: [2] }, [tensor("b", [2], bf16([1, 2])), scale]);
  expect(await floatsOf(bias)).toEqual([1.0078125, 1]);
});

test("row sums are multiplied by a factor", async () => {
  const weight = { tensor: "b", shape: [2], parts: ["w"], stored: [2, 3], summedColumns: 1, factor: -1 };
  expect(storedTensors(weight)).toEqual([{ name: "w", shape: [2, 3] }]);
  expect(await floatsOf(weightSource(weight, [tensor("w", [2, 3], bf16([1, 2, 3, 4, 5, 6]))]))).toEqual([
    -6, -15,
  ]);
  const doubled = weightSource({ tensor: "w", shape: [2], factor: 2 }, [tensor("w", [2], bf16([3, 4]))]);
  expect(await floatsOf(doubled)).toEqual([6, 8]);
});

/** Numbers that each of the dtypes has exactly. */
const HALVES = [1, 2, 1.0078125, 0.5, 5, 6, 7, 8];

const ENCODERS: Readonly<Record<string, (values: Float32Array) => Uint16Array | Float32Array>> = {
  F32: (values) => values,
  F16: f32ToF16,
  BF16: f32ToBf16,
};

describe.each(Object.keys(ENCODERS))("of %s", (dtype) => {
  const stored = (shape: readonly number[]): TensorSource => {
    const values = ENCODERS[dtype]!(Float32Array.from(HALVES));
    return tensor("w", shape, [...new Uint16Array(values.buffer)], dtype);
  };

  test.each([1, 4, 7, 16])("the halves of each row are added, in slices of %i bytes", async (sliceBytes) => {
    const weight = { tensor: "w", shape: [2, 2], stored: [2, 4], summedColumns: 2 };
    expect(storedTensors(weight)).toEqual([{ name: "w", shape: [2, 4] }]);
    const source = weightSource(weight, [stored([2, 4])]);
    const words = Uint16Array.from(await valuesOf(source, sliceBytes));
    expect([...new Float32Array(words.buffer)]).toEqual([2.0078125, 2.5, 12, 14]);
  });

  test.each([1, 4, 7, 48])(
    "appended rows follow those of the tensor, in slices of %i bytes",
    async (sliceBytes) => {
      const weight = { tensor: "w", shape: [6, 2], stored: [4, 2], appended: Float32Array.of(0, 1, 2, 3) };
      const source = weightSource(weight, [stored([4, 2])]);
      const words = Uint16Array.from(await valuesOf(source, sliceBytes));
      expect([...new Float32Array(words.buffer)]).toEqual([...HALVES, 0, 1, 2, 3]);
    },
  );
});
