import { KERNEL_NAMES, printProgram } from "@vitgraph/cuda-kernels";
import { expect, test } from "vitest";
import { GraphBuilder, printGraph, type ValueId } from "../graph/graph.js";
import { rowsOf } from "../graph/ops.js";
import { createVisionModel } from "../models/index.js";
import type { PatchTable } from "../models/patch-tables.js";
import { checkMemoryPlan } from "./check-memory-plan.js";
import { compile } from "./compile.js";
import { gridValues, useGridCache } from "./use-grid-cache.js";

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
const values = gridValues(graph)!;
const cached = useGridCache(graph, values, 100);
const options = {
  target: { activationDType: "f32" as const, weightDType: null, kernels: new Set(KERNEL_NAMES) },
  weightDTypes: new Map(
    graph.nodes.flatMap((node) => (node.op === "weight" ? [[node.attributes.tensor, "f32" as const]] : [])),
  ),
};
const capacity = { patches: 64, tokens: 16, segments: 16 };

test("one index replaces the patch tables, and the graph does not interpolate embeddings", () => {
  const { fused } = compile(cached, { fuse: false, ...options });
  expect(printGraph(fused)).toMatchSnapshot();
  expect(
    fused.nodes
      .filter(({ op }) => op === "input")
      .map(({ name }) => name)
      .sort(),
  ).toEqual(["cu_seqlens", "grid_rows", "patch_sources", "pixels"]);
});

test("in the fused graph, the patch embedding adds the rows of the cache", () => {
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

/** A graph that adds the result of `embed` to x. */
function towerOf(embed: (g: GraphBuilder, table: (name: PatchTable) => ValueId) => ValueId) {
  const g = new GraphBuilder();
  const table = (name: PatchTable) => {
    const element = name === "tap_weights" ? "f32" : "i32";
    return g.input(name, { element, rows: rowsOf("patches"), columns: 2 });
  };
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns: 8 });
  return g.build([g.add("add", [x, embed(g, table)], {}, "sum")]);
}

const namesOf = (nodes: readonly { readonly name: string }[] = []) => nodes.map(({ name }) => name);

test("only the last of the values that depend only on the grid are cached", () => {
  const chain = gridValues(
    towerOf((g, table) => {
      const [rows, weights] = [table("tap_rows"), table("tap_weights")];
      const sample = (name: string) =>
        g.add("interpolate_rows", [g.weight(name, [9, 8]), rows, weights], {}, `of ${name}`);
      return g.add(
        "layernorm",
        [g.add("add", [sample("a"), sample("b")], {}, "both"), g.weight("w", [8]), g.weight("v", [8])],
        { epsilon: 1 },
        "normed",
      );
    }),
  );
  expect(namesOf(chain?.computed)).toEqual(["of a", "of b", "both", "normed"]);
  expect(namesOf(chain?.cached)).toEqual(["normed"]);
  expect(namesOf(chain?.weights)).toEqual(["a", "b", "w", "v"]);
  expect(namesOf(values.cached)).toEqual(["positions", "pos_embed"]);
});

test("a graph without computed values that depend only on the grid has no cache", () => {
  const positionsAlone = towerOf((g, table) => {
    const angles = g.constant("angles", 2, new Float32Array(8));
    const q = g.input("q", { element: "activation", rows: rowsOf("patches"), columns: 8 });
    return g.add("rope", [q, table("positions"), angles], { heads: 2 }, "turned");
  });
  expect(gridValues(positionsAlone)).toBeUndefined();
  const fromPixels = towerOf((g, table) => {
    const weights = g.input("other", { element: "f32", rows: rowsOf("patches"), columns: 2 });
    return g.add("interpolate_rows", [g.weight("table", [9, 8]), table("tap_rows"), weights], {}, "sampled");
  });
  expect(gridValues(fromPixels)).toBeUndefined();
});
