import { KERNEL_NAMES, printProgram } from "@vitgraph/cuda-kernels";
import { expect, test } from "vitest";
import { GraphBuilder, printGraph } from "../graph/graph.js";
import { rowsOf } from "../graph/ops.js";
import { createVisionModel } from "../models/index.js";
import { checkMemoryPlan } from "./check-memory-plan.js";
import { compile } from "./compile.js";
import { cacheableOp, useGridCache } from "./use-grid-cache.js";

const model = createVisionModel({
  model_type: "qwen3_vl",
  vision_config: {
    depth: 1,
    hidden_size: 16,
    num_heads: 2,
    intermediate_size: 24,
    patch_size: 2,
    out_hidden_size: 8,
    num_position_embeddings: 9,
    deepstack_visual_indexes: [0],
  },
});
const graph = model.buildGraph({ channelScale: new Float32Array(6) });
const sampled = cacheableOp(graph)!;
const cached = useGridCache(graph, sampled, 100);
const options = {
  target: { activationDType: "f32" as const, weightDType: null, kernels: new Set(KERNEL_NAMES) },
  weightDTypes: new Map(
    graph.nodes.flatMap((node) => (node.op === "weight" ? [[node.attributes.tensor, "f32" as const]] : [])),
  ),
};
const capacity = { patches: 64, tokens: 16, segments: 16 };

test("one index takes the place of the positions, and nothing samples embeddings", () => {
  const { fused } = compile(cached, { fuse: false, ...options });
  expect(printGraph(fused)).toMatchSnapshot();
  expect(
    fused.nodes
      .filter(({ op }) => op === "input")
      .map(({ name }) => name)
      .sort(),
  ).toEqual(["cu_seqlens", "grid_rows", "patch_sources", "pixels"]);
});

test("fused, the patch embedding adds the cache's rows itself", () => {
  const compiled = compile(cached, { fuse: true, ...options });
  expect(printGraph(compiled.fused)).toMatchSnapshot();
  expect(
    printProgram(compiled.program(capacity).program).split("\n").slice(0, 5).join("\n"),
  ).toMatchSnapshot();
});

test.each([true, false])("the weights lie where the program without a cache has them (fused: %s)", (fuse) => {
  const weightsOf = (of: typeof graph) => {
    const { fused, program } = compile(of, { fuse, ...options });
    const { plan } = program(capacity);
    checkMemoryPlan(fused, plan);
    return fused.nodes.flatMap(({ id, op, name }) =>
      op === "weight" || op === "constant" ? [{ name, ...plan.placements[id]! }] : [],
    );
  };
  expect(weightsOf(cached)).toEqual(weightsOf(graph));
});

test("there is nothing to cache where no embedding is sampled, or more than one, or at computed positions", () => {
  const g = new GraphBuilder();
  const positions = g.input("positions", { element: "i32", rows: rowsOf("patches"), columns: 4 });
  const table = g.weight("table", [9, 8]);
  const sample = (at: typeof positions) => g.add("position_embedding", [table, at], { side: 3 }, "embedding");
  expect(cacheableOp(g.build([]))).toBeUndefined();
  const one = sample(positions);
  expect(cacheableOp(g.build([one]))?.id).toBe(one);
  expect(cacheableOp(g.build([one, sample(positions)]))).toBeUndefined();

  const h = new GraphBuilder();
  const index = h.input("index", { element: "i32", rows: rowsOf("patches"), columns: 1 });
  const all = h.input("all", { element: "i32", rows: rowsOf("patches"), columns: 4 });
  const moved = h.add("gather_rows", [all, index], {}, "moved");
  const late = h.add("position_embedding", [h.weight("table", [9, 8]), moved], { side: 3 }, "embedding");
  expect(cacheableOp(h.build([late]))).toBeUndefined();
});
