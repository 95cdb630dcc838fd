/** Loading of weights with a folded norm, compared with the formulas element by element. */
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
/** Column counts of weights that load in one slice and in three. */
const [FEW_COLUMNS, MANY_COLUMNS] = [40, 40_000];
const PAIRED = { rows: 16, headSize: 8 };
/** Checkpoint row of each loaded row: the halves of two heads interleaved, the others in order. */
const ORDER = Array.from({ length: ROWS }, (_, row) =>
  row < 16 ? row - (row % 8) + Math.floor((row % 8) / 2) + (row % 2) * 4 : row,
);

const tensorsOf = (columns: number) => ({
  w: Float32Array.from({ length: ROWS * columns }, (_, i) => Math.sin(i * 1.7) * 0.2 + 0.05),
  gamma: Float32Array.from({ length: columns }, (_, i) => 1 + Math.cos(i) / 2),
  beta: Float32Array.from({ length: columns }, (_, i) => Math.sin(3 * i)),
  b: Float32Array.from({ length: ROWS }, (_, i) => i / 7),
});

async function load(fold: Omit<FoldedNorm, "part">, weightDType: "bf16" | null, columns: number) {
  const tensors = tensorsOf(columns);
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns: 8 });
  const part = (part: FoldedNorm["part"]) =>
    g.add(
      "weight",
      [],
      { tensor: "w", shape: [ROWS, columns], pairedRows: PAIRED, folded: { ...fold, part } },
      part,
    );
  const written = g.add(
    "linear",
    [x, g.weight("writer", [columns, 8]), null, null],
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
    source("w", tensors.w, [ROWS, columns]),
    source("gamma", tensors.gamma, [columns]),
    source("beta", tensors.beta, [columns]),
    source("b", tensors.b, [ROWS]),
    source("writer", new Float32Array(columns * 8), [columns, 8]),
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
      ? bf16ToF32(new Uint16Array(memory.buffer, at("weight").offset, ROWS * columns))
      : floats("weight", ROWS * columns);
  return { weight, u: floats("u", ROWS), v: floats("v", ROWS) };
}

test.each([
  ["bf16", FEW_COLUMNS],
  ["bf16", MANY_COLUMNS],
  [null, FEW_COLUMNS],
  [null, MANY_COLUMNS],
] as const)(
  "a layernorm folds γ, without each row's mean, β and the bias: weights as %s, %d columns",
  async (dtype, columns) => {
    const tensors = tensorsOf(columns);
    const fold = { norm: "layernorm", scale: "gamma", shift: "beta", bias: "b" } as const;
    const { weight, u, v } = await load(fold, dtype, columns);
    for (const [row, from] of ORDER.entries()) {
      const stored = tensors.w.subarray(from * columns, (from + 1) * columns);
      const scaled = Float32Array.from(stored, (value, k) => value * tensors.gamma[k]!);
      const mean = scaled.reduce((sum, value) => sum + value, 0) / columns;
      const centred = scaled.map((value) => value - mean);
      const expected = dtype === "bf16" ? bf16ToF32(f32ToBf16(centred)) : centred;
      const loaded = weight.subarray(row * columns, (row + 1) * columns);
      const worst = Math.max(...loaded.map((value, k) => Math.abs(value - expected[k]!)));
      expect(worst).toBeLessThan(dtype === "bf16" ? 2e-3 : 1e-7);
      // u must be the sum of the rounded weights: the product multiplies the mean by those.
      expect(u[row]).toBeCloseTo(
        loaded.reduce((sum, value) => sum + value, 0),
        6,
      );
      const shifted = stored.reduce((sum, value, k) => sum + value * tensors.beta[k]!, tensors.b[from]!);
      expect(Math.abs(v[row]! - shifted)).toBeLessThan(1e-6 * Math.abs(shifted) + 1e-6);
    }
    // Rounding leaves row sums above 0; otherwise this test could not detect a wrong u.
    if (dtype === "bf16") expect(Math.max(...u.map(Math.abs))).toBeGreaterThan(1e-4);
  },
);

test("an RMSNorm folds γ and its offset; rows keep their mean", async () => {
  const { weight, v } = await load({ norm: "rmsnorm", scale: "gamma", offset: 1 }, null, FEW_COLUMNS);
  const tensors = tensorsOf(FEW_COLUMNS);
  for (const [row, from] of ORDER.entries()) {
    for (let k = 0; k < FEW_COLUMNS; k++) {
      const expected = tensors.w[from * FEW_COLUMNS + k]! * (tensors.gamma[k]! + 1);
      expect(weight[row * FEW_COLUMNS + k]).toBeCloseTo(expected, 6);
    }
    expect(v[row]).toBe(0);
  }
});
