/** Norms folded into the products after them: results on the CPU against those of the unfolded graph. */
import { createCpuDevice, KERNEL_NAMES } from "@vitgraph/cuda-kernels";
import { expect, test } from "vitest";
import { type Graph, GraphBuilder, printGraph } from "../graph/graph.js";
import { type OpAttributes, rowsOf } from "../graph/ops.js";
import { compareWithReference, f32ToBf16 } from "../numerics.js";
import { loadWeights } from "../weights/load-weights.js";
import type { TensorSource } from "../weights/tensor-source.js";
import { checkMemoryPlan } from "./check-memory-plan.js";
import { compile } from "./compile.js";
import type { WeightDTypes } from "./memory-plan.js";

const HIDDEN = 32;
const HEADS = 2;
const PATCHES = 24;
const target = { activationDType: "f32" as const, weightDType: null, kernels: new Set(KERNEL_NAMES) };

/** One block with RoPE in its projection, an RMSNorm without a bias after it, and two norms that read the same rows. */
function tower(options: { readonly writer?: "linear" | "activation"; readonly wide?: number } = {}): Graph {
  const wideColumns = options.wide ?? 48;
  const g = new GraphBuilder();
  const patches = rowsOf("patches");
  const linear = (x: number, name: string, columns: number, inner: number, bias = true) =>
    g.add(
      "linear",
      [
        x as never,
        g.weight(`${name}.weight`, [columns, inner]),
        bias ? g.weight(`${name}.bias`, [columns]) : null,
        null,
      ],
      { activation: "none" },
      name,
    );
  const layernorm = (x: number, name: string, columns: number) =>
    g.add(
      "layernorm",
      [x as never, g.weight(`${name}.weight`, [columns]), g.weight(`${name}.bias`, [columns])],
      { epsilon: 1e-6 },
      name,
    );
  const input = g.input("x", { element: "activation", rows: patches, columns: HIDDEN });
  const positions = g.input("positions", { element: "i32", rows: patches, columns: 2 });
  const angles = g.constant("angles", HIDDEN / HEADS / 2, angleTable());
  let x = linear(input, "embed", HIDDEN, HIDDEN);
  if (options.writer === "activation") x = g.add("activation", [x], { function: "silu" }, "embed.act");
  const qkv = linear(layernorm(x, "norm1", HIDDEN), "qkv", 3 * HIDDEN, HIDDEN);
  const rotated = g.add("rope_qk", [qkv, positions, angles], { heads: HEADS }, "rotated");
  x = g.add("add", [x, linear(rotated, "proj", HIDDEN, 3 * HIDDEN)], {}, "proj.residual");
  const norm2 = g.add(
    "rmsnorm",
    [x, g.weight("norm2.weight", [HIDDEN])],
    { epsilon: 1e-6, weightOffset: 1 },
    "norm2",
  );
  const wide = g.add(
    "activation",
    [linear(norm2, "fc1", wideColumns, HIDDEN, false)],
    { function: "gelu_tanh" },
    "act",
  );
  x = g.add("add", [x, linear(wide, "fc2", HIDDEN, wideColumns)], {}, "fc2.residual");
  const merged = g.add("merge_rows", [x], { factor: 4 }, "merge");
  const deep = linear(layernorm(merged, "deep.norm", 4 * HIDDEN), "deep.fc1", 40, 4 * HIDDEN);
  const last = g.add(
    "merge_rows",
    [linear(layernorm(x, "last.norm", HIDDEN), "last.fc1", 8, HIDDEN)],
    { factor: 4 },
    "last.merge",
  );
  return g.build([linear(deep, "deep.fc2", 16, 40), linear(last, "last.fc2", 16, 32)]);
}

function angleTable(): Float32Array {
  const quarter = HIDDEN / HEADS / 4;
  return Float32Array.from({ length: 8 * 2 * quarter }, (_, i) => {
    const angle = Math.floor(i / (2 * quarter)) * 0.3 ** (i % quarter);
    return i % (2 * quarter) < quarter ? Math.cos(angle) : Math.sin(angle);
  });
}

/** Reproducible values of about unit variance. */
function random(seed: number, length: number): Float32Array {
  let state = seed * 2654435761;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 3.46;
  });
}

function weightsOf(graph: Graph, dtype: "F32" | "BF16"): ReadonlyMap<string, TensorSource> {
  const sources = new Map<string, TensorSource>();
  for (const node of graph.nodes) {
    if (node.op !== "weight") continue;
    const { tensor, shape } = node.attributes as OpAttributes["weight"];
    const scale = shape.length === 1 ? 1 : 1 / Math.sqrt(shape[1] as number);
    const values = random(
      node.id + 1,
      shape.reduce((a, b) => a * b, 1),
    ).map((value) => scale * (value + 0.2));
    const bytes = new Uint8Array(dtype === "F32" ? values.buffer : f32ToBf16(values).buffer);
    sources.set(tensor, {
      name: tensor,
      dtype,
      shape,
      sizeBytes: bytes.length,
      readSlice: async (start, part) => part.set(bytes.subarray(start, start + part.length)),
    });
  }
  return sources;
}

/**
 * The result on the CPU for patches whose mean is `mean` standard deviations. Always fused: without attention, the
 * column order of interleaved RoPE reaches the result.
 */
async function run(graph: Graph, folds: boolean, dtype: "F32" | "BF16", mean = 0): Promise<Float32Array> {
  const weights = weightsOf(graph, dtype);
  const weightDTypes: WeightDTypes = new Map(
    [...weights.keys()].map((name) => [name, dtype === "F32" ? "f32" : "bf16"]),
  );
  const compiled = compile(graph, { fuse: true, target: { ...target, foldsNorms: folds }, weightDTypes });
  const capacity = { patches: PATCHES, tokens: PATCHES / 4 };
  const { plan, program } = compiled.program(capacity);
  checkMemoryPlan(compiled.fused, plan);
  using device = createCpuDevice({ threads: 2 });
  using weightArena = device.allocate(plan.arenaBytes.weights);
  using io = device.allocate(plan.arenaBytes.io);
  using scratch = device.allocate(plan.arenaBytes.scratch);
  await device.fill(scratch, 0xff);
  await loadWeights(compiled.fused, plan, weights, device, weightArena);
  using executable = device.load(program, { weights: weightArena, io, scratch });
  const bufferOf = (name: string) => program.buffers.findIndex((buffer) => buffer.name === name);
  const positions = Int32Array.from({ length: 2 * PATCHES }, (_, i) => (i % 2 === 0 ? (i / 2) % 5 : i % 7));
  const { outputs } = await executable.submit({
    counts: program.dims.map(({ capacity }) => capacity),
    inputs: [
      {
        buffer: bufferOf("x"),
        bytes: new Uint8Array(random(7, PATCHES * HIDDEN).map((value) => value + mean).buffer),
      },
      { buffer: bufferOf("positions"), bytes: new Uint8Array(positions.buffer) },
    ],
    outputs: [{ buffer: program.buffers.length - 1, sizeBytes: (PATCHES / 4) * 32 * 4 }],
  });
  return new Float32Array(outputs[0]!.buffer);
}

const folded = (graph: Graph) =>
  compile(graph, {
    fuse: true,
    target: { ...target, foldsNorms: true },
    weightDTypes: new Map([...weightsOf(graph, "F32").keys()].map((name) => [name, "f32" as const])),
  });

test("each norm over rows that a product writes is folded, and norms of the same rows share statistics", () => {
  const { fused, trace } = folded(tower());
  expect(trace.map(({ rule }) => rule).filter((rule) => rule.includes("norm"))).toEqual([
    "layernorm-into-linear-rope",
    "rmsnorm-without-bias-into-linear",
    "layernorm-into-linear",
    "layernorm-into-linear",
  ]);
  const ops = fused.nodes.map(({ op }) => op);
  expect(ops).not.toContain("layernorm");
  expect(ops).not.toContain("rmsnorm");
  expect(ops.filter((op) => op === "row_statistics")).toHaveLength(3);
  expect(printGraph(fused)).toContain("linear_norm_rope");
});

test("a norm over rows that an activation writes is not folded", () => {
  const ops = folded(tower({ writer: "activation" })).fused.nodes.map(({ op }) => op);
  expect(ops.filter((op) => op === "layernorm")).toHaveLength(1);
  expect(ops.filter((op) => op === "linear_norm_rope")).toHaveLength(0);
});

test("norms are not folded into or after a product with unaligned columns", () => {
  const { fused } = folded(tower({ wide: 44 }));
  // norm2 precedes fc1, which has 44 columns; the other two read the rows of fc2, whose inner dimension is 44.
  const left = fused.nodes.filter(({ op }) => op === "layernorm" || op === "rmsnorm").map(({ name }) => name);
  expect(left).toEqual(["norm2", "deep.norm", "last.norm"]);
});

test("nothing is folded unless the target asks for it", () => {
  const graph = tower();
  const weightDTypes: WeightDTypes = new Map(
    [...weightsOf(graph, "F32").keys()].map((name) => [name, "f32"]),
  );
  const { fused } = compile(graph, { fuse: true, target, weightDTypes });
  expect(fused.nodes.map(({ op }) => op)).not.toContain("row_statistics");
});

test.each([
  ["F32", 0],
  ["BF16", 0],
  ["F32", 30],
] as const)(
  "folding keeps the result, with weights in %s and a mean of %d deviations",
  async (dtype, mean) => {
    const graph = tower();
    const expected = await run(graph, false, dtype, mean);
    const { relativeL2 } = compareWithReference(await run(graph, true, dtype, mean), expected);
    expect(expected.every(Number.isFinite)).toBe(true);
    // Rounding in f32: four norms in a different order of operations.
    expect(relativeL2).toBeLessThan(5e-6);
  },
);

test("a product with a folded norm names the operand that is missing or does not fit", () => {
  const g = new GraphBuilder();
  const rows = rowsOf("patches");
  const x = g.input("x", { element: "activation", rows, columns: 8 });
  const statistics = g.input("statistics", { element: "f32", rows, columns: 6 });
  const weight = g.weight("weight", [16, 8]);
  const vector = (name: string, columns: number) => g.constant(name, columns, new Float32Array(columns));
  const add = (...vectors: readonly (ReturnType<typeof vector> | null)[]) =>
    g.add(
      "linear_norm",
      [x, weight, statistics, ...vectors],
      { activation: "none", norm: "layernorm", epsilon: 1e-6 },
      "product",
    );
  expect(() => add(null, vector("v", 16))).toThrow("linear_norm: input u is missing");
  expect(() => add(vector("u", 16))).toThrow("linear_norm: input v is missing");
  expect(() => add(vector("u", 16), vector("v", 8))).toThrow("v is f32[1, 8], expected 16 columns");
});
