import { type DType, KERNEL_NAMES, printProgram } from "@vitgraph/cuda-kernels";
import { describe, expect, test } from "vitest";
import type { Graph } from "../graph/graph.js";
import { GraphBuilder, graphFlops, printGraph } from "../graph/graph.js";
import { rowsOf } from "../graph/ops.js";
import { createVisionModel } from "../models/index.js";
import { checkMemoryPlan } from "./check-memory-plan.js";
import { compile } from "./compile.js";
import { printMemoryPlan, type WeightDTypes } from "./memory-plan.js";

const MINIATURE = {
  depth: 2,
  hidden_size: 16,
  num_heads: 2,
  intermediate_size: 24,
  patch_size: 2,
  out_hidden_size: 8,
  num_position_embeddings: 9,
  deepstack_visual_indexes: [0],
};

const model = createVisionModel({ model_type: "qwen3_vl", vision_config: MINIATURE });
const graph = model.buildGraph({ channelScale: new Float32Array(6) });
const target = { activationDType: "f32" as const, weightDType: null, kernels: new Set(KERNEL_NAMES) };
const capacity = { patches: 64, tokens: 16, segments: 16 };

function dtypesOf(graph: Graph, dtype: DType): WeightDTypes {
  return new Map(
    graph.nodes.flatMap((node) => (node.op === "weight" ? [[node.attributes.tensor, dtype]] : [])),
  );
}

const weightDTypes = dtypesOf(graph, "bf16");
const fused = compile(graph, { fuse: true, target, weightDTypes });
const unfused = compile(graph, { fuse: false, target, weightDTypes });

test("the op graph of a miniature tower", () => {
  expect(printGraph(unfused.fused)).toMatchSnapshot();
});

test("the fused graph of a miniature tower", () => {
  expect(printGraph(fused.fused)).toMatchSnapshot();
});

test("the memory plan and program of a miniature tower", () => {
  const { plan, program } = fused.program(capacity);
  expect(printMemoryPlan(fused.fused, plan)).toMatchSnapshot();
  expect(printProgram(program)).toMatchSnapshot();
});

test("fusion leaves no elementwise op and no separate RoPE op", () => {
  const left = fused.fused.nodes.map(({ op }) => op);
  expect(left).not.toContain("activation");
  expect(left).not.toContain("add");
  expect(left).not.toContain("rope");
  expect(left).not.toContain("rope_qk");
});

test("every rewrite is in the trace", () => {
  const count = (rule: string) => fused.trace.filter((step) => step.rule === rule).length;
  // One activation per block and per merger; two residuals per block and one in the embedding.
  expect(count("linear-activation")).toBe(2 + 2);
  expect(count("linear-residual")).toBe(2 * 2 + 1);
  expect(count("rope-qk")).toBe(2);
  expect(count("linear-rope")).toBe(2);
});

test.each([
  ["RoPE fused into the projection", ["linear_rope"], "rope_qk"],
  ["any fused RoPE", ["linear_rope", "rope_qk"], "rope"],
] as const)("a target without %s keeps the op %s", (_, missing, kept) => {
  const kernels = new Set(KERNEL_NAMES.filter((name) => !(missing as readonly string[]).includes(name)));
  const { fused } = compile(graph, { fuse: true, target: { ...target, kernels }, weightDTypes });
  expect(fused.nodes.map(({ op }) => op)).toContain(kept);
});

test("the weight and bias of a projection with RoPE, and no others, are loaded in interleaved layout", () => {
  const paired = fused.fused.nodes.flatMap((node) =>
    node.op === "weight" && node.attributes.pairedRows !== undefined ? [node] : [],
  );
  expect(paired.map(({ attributes }) => attributes.tensor)).toEqual([
    "blocks.0.attn.qkv.weight",
    "blocks.0.attn.qkv.bias",
    "blocks.1.attn.qkv.weight",
    "blocks.1.attn.qkv.bias",
  ]);
  for (const { attributes } of paired) expect(attributes.pairedRows).toEqual({ rows: 32, headSize: 8 });
});

test("RoPE is fused into a projection without a bias, but not for heads of 4 columns", () => {
  const opsOf = (columns: number, heads: number) => {
    const g = new GraphBuilder();
    const rows = rowsOf("patches");
    const x = g.input("x", { element: "activation", rows, columns });
    const positions = g.input("positions", { element: "i32", rows, columns: 2 });
    const angles = g.constant("angles", columns / heads / 2, new Float32Array(columns / heads / 2));
    const qkv = g.add(
      "linear",
      [x, g.weight("qkv", [3 * columns, columns]), null, null],
      { activation: "none" },
      "qkv",
    );
    const rotated = g.add("rope_qk", [qkv, positions, angles], { heads }, "rotated");
    const back = g.add(
      "linear",
      [rotated, g.weight("back", [columns, 3 * columns]), null, null],
      { activation: "none" },
      "back",
    );
    const dtypes: WeightDTypes = new Map([
      ["qkv", "f32"],
      ["back", "f32"],
    ]);
    const compiled = compile(g.build([back]), { fuse: true, target, weightDTypes: dtypes });
    return compiled.fused.nodes.flatMap(({ op }) => (op.includes("rope") ? [op] : []));
  };
  expect(opsOf(16, 2)).toEqual(["linear_rope"]);
  expect(opsOf(16, 4)).toEqual(["rope_qk"]);
});

test("fusion does not change the FLOPs", () => {
  const work = { dims: { patches: 64, tokens: 16, segments: 2 }, attentionPairs: { segments: 2 * 32 * 32 } };
  expect(graphFlops(fused.fused, work)).toBe(graphFlops(graph, work));
});

describe.each([
  ["fused", fused],
  ["unfused", unfused],
])("the memory plan, %s", (_, compiled) => {
  test("holds at every capacity", () => {
    for (const tokens of [1, 2, 16, 33]) {
      const { plan } = compiled.program({ patches: tokens * 4, tokens, segments: tokens });
      checkMemoryPlan(compiled.fused, plan);
    }
  });

  test("puts the weights at addresses that do not depend on the capacity", () => {
    const [small, large] = [1, 512].map((tokens) =>
      compiled
        .program({ patches: tokens * 4, tokens, segments: tokens })
        .plan.placements.filter(({ arena }) => arena === "weights"),
    );
    expect(small).toEqual(large);
  });

  test("reuses scratch: it needs less than a third of the sum of its values", () => {
    const { plan, program } = compiled.program(capacity);
    const sum = program.buffers
      .filter(({ arena, rowStride, columns }) => arena === "scratch" && rowStride === columns)
      .reduce((total, { columns }) => total + 64 * columns * 4, 0);
    expect(plan.arenaBytes.scratch).toBeLessThan(sum / 3);
  });

  test("is refused by the checker when any value is moved onto a live one", () => {
    const { plan } = compiled.program(capacity);
    const scratch = compiled.fused.nodes.filter(({ id }) => plan.placements[id]?.arena === "scratch");
    const attention = scratch.find(({ op }) => op === "attention")!;
    const residual = scratch.find(
      ({ name }) => name === "blocks.0.attn.residual" || name === "patch_embed.proj",
    )!;
    const placements = [...plan.placements];
    placements[attention.id] = { ...placements[attention.id]!, offset: plan.placements[residual.id]!.offset };
    expect(() => checkMemoryPlan(compiled.fused, { ...plan, placements })).toThrow(/is no longer in scratch/);
  });

  test("is refused by the checker when a value lies outside its arena", () => {
    const { plan } = compiled.program(capacity);
    const arenaBytes = { ...plan.arenaBytes, scratch: plan.arenaBytes.scratch - 256 };
    expect(() => checkMemoryPlan(compiled.fused, { ...plan, arenaBytes })).toThrow(
      /lies outside the scratch arena/,
    );
  });
});
