import { expect, test } from "vitest";
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

/** The elements, read in slices of so many bytes. */
async function valuesOf(source: TensorSource, sliceBytes: number): Promise<readonly number[]> {
  const bytes = new Uint8Array(source.sizeBytes);
  for (let start = 0; start < bytes.length; start += sliceBytes)
    await source.readSlice(start, bytes.subarray(start, start + sliceBytes));
  return [...new Uint16Array(bytes.buffer)];
}

test.each([1, 2, 5, 64])("parts are one tensor, in slices of %i bytes", async (sliceBytes) => {
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

test("parts of two dtypes are refused", () => {
  const parts = [tensor("q", [1], [1]), tensor("k", [1], [2], "F16")];
  expect(() => weightSource({ tensor: "qk", shape: [2], parts: ["q", "k"] }, parts)).toThrow(
    "tensor k has dtype F16, and q has BF16: convert the checkpoint to one dtype",
  );
});

test("zeros fill the rows and columns that the checkpoint does not have", async () => {
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
