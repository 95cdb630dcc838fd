/** A weight that a norm was folded into, as it is loaded: against the formulas, element by element. */
import type { Arena, Device } from "@vitgraph/cuda-kernels";
import { KERNEL_NAMES } from "@vitgraph/cuda-kernels";
import { expect, test } from "vitest";
import { planMemory } from "../compiler/memory-plan.js";
import { GraphBuilder } from "../graph/graph.js";
import { type FoldedNorm, rowsOf } from "../graph/ops.js";
import { bf16ToF32, f32ToBf16 } from "../numerics.js";
import { loadWeights } from "./load-weights.js";
import type { TensorSource } from "./tensor-source.js";

const ROWS = 24;
const COLUMNS = 40;
const PAIRED = { rows: 16, headSize: 8 };
/** Row of the checkpoint at each row that is loaded: the halves of two heads interleaved, and the rest as it is. */
const ORDER = Array.from({ length: ROWS }, (_, row) =>
  row < 16 ? row - (row % 8) + Math.floor((row % 8) / 2) + (row % 2) * 4 : row,
);

const tensors: Readonly<Record<string, Float32Array>> = {
  w: Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => Math.sin(i * 1.7) * 0.2 + 0.05),
  gamma: Float32Array.from({ length: COLUMNS }, (_, i) => 1 + Math.cos(i) / 2),
  beta: Float32Array.from({ length: COLUMNS }, (_, i) => Math.sin(3 * i)),
  b: Float32Array.from({ length: ROWS }, (_, i) => i / 7),
};

async function load(fold: Omit<FoldedNorm, "part">, weightDType: "bf16" | null) {
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns: COLUMNS });
  const part = (part: FoldedNorm["part"]) =>
    g.add(
      "weight",
      [],
      { tensor: "w", shape: [ROWS, COLUMNS], pairedRows: PAIRED, folded: { ...fold, part } },
      part,
    );
  const written = g.add(
    "linear",
    [x, g.weight("square", [COLUMNS, COLUMNS]), null, null],
    { activation: "none" },
    "h",
  );
  const statistics = g.add("row_statistics", [written], {}, "h.statistics");
  const inputs = [written, part("weight"), statistics, part("u"), part("v")];
  const graph = g.build([
    g.add("linear_norm", inputs, { activation: "none", norm: fold.norm, epsilon: 1e-6 }, "y"),
  ]);
  const source = (name: string, values: Float32Array, shape: readonly number[]): [string, TensorSource] => {
    const bytes = new Uint8Array(values.buffer);
    const readSlice = async (start: number, target: Uint8Array) =>
      target.set(bytes.subarray(start, start + target.length));
    return [name, { name, dtype: "F32", shape, sizeBytes: bytes.length, readSlice }];
  };
  const weights = new Map([
    source("w", tensors.w!, [ROWS, COLUMNS]),
    source("gamma", tensors.gamma!, [COLUMNS]),
    source("beta", tensors.beta!, [COLUMNS]),
    source("b", tensors.b!, [ROWS]),
    source("square", new Float32Array(COLUMNS * COLUMNS), [COLUMNS, COLUMNS]),
  ]);
  const target = {
    activationDType: weightDType ?? ("f32" as const),
    weightDType,
    kernels: new Set(KERNEL_NAMES),
  };
  const plan = planMemory(
    graph,
    { patches: 1, tokens: 1 },
    target,
    new Map([...weights.keys()].map((name) => [name, "f32"])),
  );
  const memory = new Uint8Array(plan.arenaBytes.weights);
  const upload = async (_: Arena, offset: number, bytes: Uint8Array) => memory.set(bytes, offset);
  await loadWeights(graph, plan, weights, { upload } as unknown as Device, {} as Arena);
  const at = (name: string) => plan.placements[graph.nodes.find((node) => node.name === name)!.id]!;
  const floats = (name: string, length: number) => new Float32Array(memory.buffer, at(name).offset, length);
  const weight =
    weightDType === "bf16"
      ? bf16ToF32(new Uint16Array(memory.buffer, at("weight").offset, ROWS * COLUMNS))
      : floats("weight", ROWS * COLUMNS);
  return { weight, u: floats("u", ROWS), v: floats("v", ROWS) };
}

test.each(["bf16", null] as const)(
  "a layernorm's: γ, less each row's mean, β and the bias, weights as %s",
  async (dtype) => {
    const { weight, u, v } = await load(
      { norm: "layernorm", scale: "gamma", shift: "beta", bias: "b" },
      dtype,
    );
    for (const [row, from] of ORDER.entries()) {
      const stored = tensors.w!.subarray(from * COLUMNS, (from + 1) * COLUMNS);
      const scaled = Float32Array.from(stored, (value, k) => value * tensors.gamma![k]!);
      const mean = scaled.reduce((sum, value) => sum + value, 0) / COLUMNS;
      const centred = scaled.map((value) => value - mean);
      const expected = dtype === "bf16" ? bf16ToF32(f32ToBf16(centred)) : centred;
      const loaded = weight.subarray(row * COLUMNS, (row + 1) * COLUMNS);
      const worst = Math.max(...loaded.map((value, k) => Math.abs(value - expected[k]!)));
      expect(worst).toBeLessThan(dtype === "bf16" ? 2e-3 : 1e-7);
      // u is the sum of what was stored, so that the epilogue takes off what the product has.
      expect(u[row]).toBeCloseTo(
        loaded.reduce((sum, value) => sum + value, 0),
        6,
      );
      const shifted = stored.reduce((sum, value, k) => sum + value * tensors.beta![k]!, tensors.b![from]!);
      expect(v[row]).toBeCloseTo(shifted, 5);
    }
    // Rounding leaves something of the mean, or the test would not see u.
    if (dtype === "bf16") expect(Math.max(...u.map(Math.abs))).toBeGreaterThan(1e-4);
  },
);

test("an RMSNorm's: γ and its offset, and rows keep their mean", async () => {
  const { weight, v } = await load({ norm: "rmsnorm", scale: "gamma", offset: 1 }, null);
  for (const [row, from] of ORDER.entries()) {
    for (let k = 0; k < COLUMNS; k++) {
      const expected = tensors.w![from * COLUMNS + k]! * (tensors.gamma![k]! + 1);
      expect(weight[row * COLUMNS + k]).toBeCloseTo(expected, 6);
    }
    expect(v[row]).toBe(0);
  }
});
