import { expect, test } from "vitest";
import { type Graph, GraphBuilder, printGraph, type ValueId } from "../graph/graph.js";
import { rowsOf, type ValueType } from "../graph/ops.js";
import { type RewriteRule, rewrite } from "./rewrite.js";
import { FUSION_RULES } from "./rules/index.js";

const matrix: ValueType = { element: "activation", rows: rowsOf("patches"), columns: 8 };
const kernels = new Set<string>();

function graphOf(build: (g: GraphBuilder, x: ValueId) => readonly ValueId[]): Graph {
  const g = new GraphBuilder();
  return g.build(build(g, g.input("x", matrix)));
}

function linear(g: GraphBuilder, x: ValueId, name: string, columns = 8): ValueId {
  return g.add("linear", [x, g.weight(name, [columns, 8]), null, null], { activation: "none" }, name);
}

const fuse = (graph: Graph) => printGraph(rewrite(graph, FUSION_RULES, kernels).graph);

test("a product whose result has another use is not fused", () => {
  const graph = graphOf((g, x) => {
    const y = linear(g, x, "w");
    return [g.add("activation", [y], { function: "silu" }, "act"), y];
  });
  expect(fuse(graph)).toBe(printGraph(graph));
});

test("an addition is fused with the product on either side", () => {
  const [left, right] = [0, 1].map((side) =>
    fuse(
      graphOf((g, x) => {
        const y = linear(g, x, "w");
        return [g.add("add", side === 0 ? [y, x] : [x, y], {}, "sum")];
      }),
    ),
  );
  expect(left).toBe(right);
  expect(left).toContain("linear(x, w, -, x)");
});

test("in the sum of two products, one becomes the other's residual", () => {
  const graph = graphOf((g, x) => [g.add("add", [linear(g, x, "a"), linear(g, x, "b")], {}, "sum")]);
  const { graph: fused } = rewrite(graph, FUSION_RULES, kernels);
  expect(fused.nodes.filter(({ op }) => op === "linear")).toHaveLength(2);
  expect(fused.nodes.some(({ op }) => op === "add")).toBe(false);
});

test("a residual after an activation is fused; an activation after a residual is not", () => {
  const after = graphOf((g, x) => {
    const act = g.add("activation", [linear(g, x, "w")], { function: "gelu_tanh" }, "act");
    return [g.add("add", [act, x], {}, "sum")];
  });
  expect(fuse(after)).toContain("linear(x, w, -, x) gelu_tanh");
  const before = graphOf((g, x) => [
    g.add("activation", [g.add("add", [linear(g, x, "w"), x], {}, "sum")], { function: "gelu_tanh" }, "act"),
  ]);
  expect(fuse(before)).toContain("activation(%");
});

test("gathered rows are added by the product, if the target has the kernel", () => {
  const gathered = (uses: 1 | 2) =>
    graphOf((g, x) => {
      const table = g.add("cached", [null], { type: { ...matrix, rows: { dim: null, plus: 20 } } }, "table");
      const index = g.input("index", { element: "i32", rows: rowsOf("patches"), columns: 1 });
      const rows = g.add("gather_rows", [table, index], {}, "gathered");
      const sum = g.add("add", [rows, linear(g, x, "w")], {}, "sum");
      return uses === 1 ? [sum] : [sum, rows];
    });
  const printed = (uses: 1 | 2, ...has: string[]) =>
    printGraph(rewrite(gathered(uses), FUSION_RULES, new Set(has)).graph);
  expect(printed(1, "linear_gather_rows")).toContain("linear_gather_rows(x, w, -, table, index)");
  expect(printed(1, "linear_gather_rows")).not.toMatch(/ = (gather_rows|add)\(/);
  // Rows with another use are written to memory and become an ordinary residual.
  expect(printed(2, "linear_gather_rows")).toMatch(
    /%(\d+) .* = gather_rows\(table, index\)[\s\S]*linear\(x, w, -, %\1\)/,
  );
  expect(printed(1)).toContain("gather_rows(table, index)");
});

test("a name that occurs twice in a pattern must bind the same value", () => {
  const twice: RewriteRule = {
    name: "double",
    match: { op: "add", as: "add", inputs: ["x", "x"] },
    replace: (match, build) => build.add("activation", [match.value("x")], { function: "silu" }, "doubled"),
  };
  const same = graphOf((g, x) => [g.add("add", [x, x], {}, "sum")]);
  const other = graphOf((g, x) => [g.add("add", [x, linear(g, x, "w")], {}, "sum")]);
  expect(rewrite(same, [twice], kernels).trace).toEqual([{ rule: "double", at: "sum" }]);
  expect(rewrite(other, [twice], kernels).trace).toEqual([]);
});

test("rules that do not terminate are stopped and named", () => {
  const grow: RewriteRule = {
    name: "grow",
    match: { op: "activation", as: "act", inputs: ["x"] },
    replace: (match, build) => build.add("activation", [match.value("x")], { function: "silu" }, "again"),
  };
  const graph = graphOf((g, x) => [g.add("activation", [x], { function: "silu" }, "act")]);
  expect(() => rewrite(graph, [grow], kernels)).toThrow(
    "fusion rules do not terminate (last: grow at again, grow at again, grow at again)",
  );
});

test("shapes are checked as the graph is built", () => {
  expect(() => graphOf((g, x) => [g.add("add", [x, linear(g, x, "w", 16)], {}, "sum")])).toThrow(
    "add: activation[patches, 8] and activation[patches, 16] differ in shape",
  );
  expect(() =>
    graphOf((g, x) => [g.add("gate", [x, linear(g, x, "w", 16)], { function: "silu" }, "gate")]),
  ).toThrow("gate: activation[patches, 8] and activation[patches, 16] differ in shape");
  expect(() =>
    graphOf((g, x) => [
      g.add("rmsnorm", [x, g.weight("w", [4])], { epsilon: 1e-6, weightOffset: 0 }, "norm"),
    ]),
  ).toThrow("rmsnorm: weight is weight[1, 4], expected 8 columns");
  expect(() =>
    graphOf((g, x) => [
      g.add("rmsnorm_groups", [x, g.weight("w", [8])], { groups: 2, epsilon: 1e-6 }, "norm"),
    ]),
  ).toThrow("rmsnorm_groups: weight is weight[1, 8], expected 4 columns");
  expect(() =>
    graphOf((g, x) => [g.add("rmsnorm_groups", [x, null], { groups: 3, epsilon: 1e-6 }, "norm")]),
  ).toThrow("rmsnorm_groups: activation[patches, 8] does not divide into 3 groups of columns");
  expect(() =>
    graphOf((g, x) => [g.add("assemble_rows", [x, g.weight("w", [1, 4]), x], {}, "rows")]),
  ).toThrow("assemble_rows: learned is weight[1, 4], expected 8 columns");
  expect(() =>
    graphOf((g, x) => [g.add("clamp", [x, g.weight("low", [1]), g.weight("high", [2])], {}, "clamp")]),
  ).toThrow("clamp: high is weight[1, 2], expected 1 columns");
  expect(() =>
    graphOf((g, x) => [
      g.add("standardize", [x, g.weight("a", [8]), g.weight("b", [4])], { factor: 1 }, "std"),
    ]),
  ).toThrow("standardize: scale is weight[1, 4], expected 8 columns");
  expect(() =>
    graphOf((g) => [g.weight("w", [4, 8], { reordered: { sides: [4, 2, 2], axes: [0, 2, 1] } })]),
  ).toThrow("weight: w of [4, 8] has no axes 0, 2, 1 of [4, 2, 2]");
  const places = { axis: 1, order: [1, 2] };
  expect(() =>
    graphOf((g) => [g.weight("w", [4, 2], { reordered: { sides: [4, 2], axes: [0, 1], places } })]),
  ).toThrow("weight: the places 1, 2 of w are not a permutation of the 2 along axis 1");
  expect(() =>
    graphOf((g) => [
      g.weight("w", [8, 8], { stored: [5, 8], repeatedRows: { first: 2, group: 1, times: 3 } }),
    ]),
  ).toThrow("weight: 5 rows of w, repeated 3 times from row 2 in groups of 1, are not 8");
  expect(() =>
    graphOf((g) => [g.weight("angles", [3, 8], { stored: [1, 8], cosSinTable: new Float32Array(16) })]),
  ).toThrow("weight: 8 angles of angles after 16 elements are not 3 rows of 8");
  expect(() =>
    graphOf((g) => [g.weight("table", [3, 8], { stored: [1, 8], appended: new Float32Array(8) })]),
  ).toThrow("weight: table of [1, 8] and 8 elements are not [3, 8]");
  expect(() => graphOf((g, x) => [g.add("gather_rows", [x, x], {}, "rows")])).toThrow(
    "gather_rows: index is activation[patches, 8], expected 1 columns",
  );
  expect(() =>
    graphOf((g, x) => {
      const index = g.input("index", { element: "i32", rows: rowsOf("tokens"), columns: 1 });
      return [
        g.add("linear_gather_rows", [x, g.weight("w", [8, 8]), null, x, index], { activation: "none" }, "w"),
      ];
    }),
  ).toThrow("linear_gather_rows: i32[tokens, 1] does not name a row for each of activation[patches, 8]");
  expect(() =>
    graphOf((g, x) => [g.add("linear", [x, g.weight("w", [4, 9]), null, null], { activation: "none" }, "w")]),
  ).toThrow("linear: weight is weight[4, 9], expected 8 columns");
});
