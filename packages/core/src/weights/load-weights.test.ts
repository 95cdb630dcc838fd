/** Slices in flight, and reordered rows, in tensors of one slice and of several. */
import type { Arena, Device } from "@vitgraph/cuda-kernels";
import { KERNEL_NAMES } from "@vitgraph/cuda-kernels";
import { describe, expect, test } from "vitest";
import { planMemory } from "../compiler/memory-plan.js";
import { GraphBuilder } from "../graph/graph.js";
import { type PairedRows, rowsOf } from "../graph/ops.js";
import { bf16ToF32 } from "../numerics.js";
import { loadWeights } from "./load-weights.js";

/** Loads a tensor whose elements equal their row index, and reads back one element per row. */
async function loadedRows(
  shape: readonly number[],
  pairedRows?: PairedRows,
  weightDType: "bf16" | null = null,
  rowAlignment?: number,
): Promise<number[]> {
  const g = new GraphBuilder();
  const [rows, columns] = shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns });
  const weight = g.add("weight", [], { tensor: "w", shape, ...(pairedRows && { pairedRows }) }, "w.paired");
  const graph = g.build([g.add("linear", [x, weight, null, null], { activation: "none" }, "y")]);
  const values = Float32Array.from({ length: rows * columns }, (_, i) =>
    shape.length === 1 ? i : Math.floor(i / columns),
  );
  const bytes = new Uint8Array(values.buffer);
  const source = {
    name: "w",
    dtype: "F32" as const,
    shape,
    sizeBytes: bytes.length,
    readSlice: async (start: number, target: Uint8Array) => {
      target.set(bytes.subarray(start, start + target.length));
    },
  };
  const plan = planMemory(
    graph,
    { patches: 1, tokens: 1, segments: 1 },
    {
      activationDType: weightDType ?? "f32",
      weightDType,
      kernels: new Set(KERNEL_NAMES),
      ...(rowAlignment && { rowAlignment }),
    },
    new Map([["w", "f32"]]),
  );
  const memory = new Uint8Array(plan.arenaBytes.weights);
  const upload = async (_: Arena, offset: number, part: Uint8Array) => memory.set(part, offset);
  await loadWeights(graph, plan, new Map([["w", source]]), { upload } as unknown as Device, {} as Arena);
  const { rowStride } = plan.placements[weight]!;
  const loaded =
    weightDType === "bf16"
      ? bf16ToF32(new Uint16Array(memory.buffer, 0, rows * rowStride))
      : new Float32Array(memory.buffer, 0, rows * rowStride);
  if (shape.length === 1) return [...loaded];
  return Array.from({ length: rows }, (_, row) => {
    const ofRow = new Set(loaded.subarray(row * rowStride, row * rowStride + columns));
    expect(ofRow.size).toBe(1);
    return loaded[row * rowStride]!;
  });
}

describe("RoPE pairs are loaded adjacent to each other", () => {
  test.each([null, "bf16"] as const)("in a matrix, weights as %s", async (weightDType) => {
    expect(await loadedRows([12, 3], { rows: 8, headSize: 4 }, weightDType)).toEqual([
      0, 2, 1, 3, 4, 6, 5, 7, 8, 9, 10, 11,
    ]);
  });

  test("in a vector", async () => {
    expect(await loadedRows([9], { rows: 6, headSize: 6 })).toEqual([0, 3, 1, 4, 2, 5, 6, 7, 8]);
  });

  test("in a tensor of several slices, with heads that do not divide a slice", async () => {
    const headSize = 72;
    const heads = 12;
    const rows = await loadedRows([heads * headSize, 4000], { rows: 8 * headSize, headSize });
    const expected = Array.from({ length: heads * headSize }, (_, row) => {
      const inHead = row % headSize;
      if (row >= 8 * headSize) return row;
      return row - inHead + Math.floor(inHead / 2) + (inHead % 2) * (headSize / 2);
    });
    expect(rows).toEqual(expected);
  });
});

test.each([null, "bf16"] as const)(
  "rows are loaded with the row stride of the plan, weights as %s",
  async (dtype) => {
    expect(await loadedRows([5, 3], undefined, dtype, 16)).toEqual([0, 1, 2, 3, 4]);
    // The row size does not divide the slice size: slices end between rows.
    const rows = await loadedRows([200, 2003], undefined, dtype, 16);
    expect(rows).toEqual(Array.from({ length: 200 }, (_, row) => row));
  },
);

test("a number of rows that is not a multiple of the head size is refused", async () => {
  await expect(loadedRows([12, 3], { rows: 6, headSize: 4 })).rejects.toThrow(
    "weight: 6 of the 12 rows of w do not divide into RoPE pairs in heads of 4",
  );
});

describe("slices in flight", () => {
  /** A tensor of 32 MiB: 32 slices. */
  async function load(upload: Device["upload"], onProgress?: Parameters<typeof loadWeights>[5]) {
    const shape = [32, 2 ** 18];
    const g = new GraphBuilder();
    const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns: shape[1]! });
    const graph = g.build([
      g.add("linear", [x, g.weight("w", shape), null, null], { activation: "none" }, "y"),
    ]);
    const target = { activationDType: "f32", weightDType: null, kernels: new Set(KERNEL_NAMES) } as const;
    const plan = planMemory(graph, { patches: 1, tokens: 1 }, target, new Map([["w", "f32"]]));
    const source = { name: "w", dtype: "F32", shape, sizeBytes: 2 ** 25, readSlice: async () => {} };
    const device = { upload } as unknown as Device;
    await loadWeights(graph, plan, new Map([["w", source]]), device, {} as Arena, onProgress);
  }

  test("are reported as progress up to 1", async () => {
    const seen: number[] = [];
    await load(
      async () => {},
      (doneBytes, totalBytes) => seen.push(doneBytes / totalBytes),
    );
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.length).toBeGreaterThan(8);
    expect(seen.at(-1)).toBe(1);
  });

  test("end with the first failure; nothing is uploaded after it", async () => {
    let uploads = 0;
    const upload = async () => {
      const count = ++uploads;
      await new Promise((resolve) => setTimeout(resolve, count));
      if (count === 3) throw new Error("the device is gone");
    };
    await expect(load(upload)).rejects.toThrow("the device is gone");
    const uploadsThen = uploads;
    expect(uploadsThen).toBeLessThan(8);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(uploads).toBe(uploadsThen);
  });
});
