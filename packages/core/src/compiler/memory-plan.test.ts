import fc from "fast-check";
import { expect, test } from "vitest";
import { type Graph, GraphBuilder, nodeOf, type ValueId } from "../graph/graph.js";
import { rowsOf } from "../graph/ops.js";
import { checkMemoryPlan } from "./check-memory-plan.js";
import { planMemory, type Target } from "./memory-plan.js";

const target: Target = { activationDType: "f32", weightDType: null, kernels: new Set() };
const capacity = { patches: 12, tokens: 3, segments: 3 };

/** A random graph of elementwise ops, products, slices and merges. Ops read values of any age. */
function randomGraph(choices: readonly (readonly [op: number, a: number, b: number])[], columns = 8): Graph {
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns });
  const wide = g.weight("wide", [2 * columns, columns]);
  const narrow = g.weight("narrow", [columns, columns]);
  const values: ValueId[] = [x];
  const pick = (index: number) => values[index % values.length] as ValueId;
  for (const [op, a, b] of choices) {
    const name = `v${values.length}`;
    const linear = (x: ValueId, weight: ValueId, residual: ValueId | null) =>
      g.add("linear", [x, weight, null, residual], { activation: "none" }, name);
    if (op === 0) values.push(g.add("add", [pick(a), pick(b)], {}, name));
    else if (op === 1) values.push(g.add("activation", [pick(a)], { function: "silu" }, name));
    else if (op === 2) values.push(linear(pick(a), narrow, pick(b)));
    else {
      // A view of a wider value, read at once and possibly again later.
      const part = g.add(
        "slice_columns",
        [linear(pick(a), wide, null)],
        { start: columns, count: columns },
        `${name}.slice`,
      );
      values.push(g.add("add", [part, pick(b)], {}, name), part);
    }
  }
  const merged = (id: ValueId) => g.add("merge_rows", [id], { factor: 4 }, "merge");
  const out = g.weight("out", [4, 4 * columns]);
  const last = [values.length - 1, values.length >> 1].map((index) =>
    g.add("linear", [merged(pick(index)), out, null, null], { activation: "none" }, `out${index}`),
  );
  return g.build(last);
}

const choices = fc.array(fc.tuple(fc.nat(3), fc.nat(50), fc.nat(50)), { minLength: 1, maxLength: 30 });

test("every plan of a random graph passes the independent checker", () => {
  fc.assert(
    fc.property(choices, fc.boolean(), (list, aligned) => {
      const graph = randomGraph(list, aligned ? 6 : 8);
      const dtypes = new Map(
        graph.nodes.flatMap((n) => (n.op === "weight" ? [[n.name, "f32" as const]] : [])),
      );
      const plan = planMemory(graph, capacity, aligned ? { ...target, rowAlignment: 16 } : target, dtypes);
      checkMemoryPlan(graph, plan);
    }),
    { numRuns: 300 },
  );
});

test("rows that products read are aligned as the target asks; merged rows and results stay dense", () => {
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns: 6 });
  const weight = g.weight("weight", [6, 6]);
  const product = (from: ValueId, name: string) =>
    g.add("linear", [from, weight, null, null], { activation: "none" }, name);
  const [first, second] = [product(x, "first"), product(product(x, "read"), "merged")];
  const merged = g.add("merge_rows", [second], { factor: 4 }, "merge");
  const last = g.add("linear", [merged, g.weight("out", [4, 24]), null, null], { activation: "none" }, "out");
  const unread = g.add("activation", [first], { function: "silu" }, "unread");
  const graph = g.build([last]);
  const dtypes = new Map([["weight", "f32"] as const, ["out", "f32"] as const]);
  const { placements } = planMemory(graph, capacity, { ...target, rowAlignment: 16 }, dtypes);
  const strides = graph.nodes.map(({ id, name }) => [name, placements[id]?.rowStride]);
  expect(Object.fromEntries(strides)).toEqual({
    ...{ x: 8, weight: 8, first: 6, read: 8, merged: 6, merge: 24, out: 4, unread: 6 },
  });
  expect(placements[unread]?.rowStride).toBe(6);
});

test("an output that is a view, a leaf or listed twice is refused", () => {
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("tokens"), columns: 8 });
  const act = g.add("activation", [x], { function: "silu" }, "act");
  const half = g.add("slice_columns", [act], { start: 0, count: 4 }, "half");
  const plan = (outputs: readonly ValueId[]) => planMemory(g.build(outputs), capacity, target, new Map());
  for (const [outputs, name] of [
    [[half], "half"],
    [[act, act], "act"],
    [[x], "x"],
  ] as const) {
    expect(() => plan(outputs)).toThrow(
      `output ${name} is not written by a kernel, or is listed twice: make each output the result of a different op`,
    );
  }
  expect(plan([act]).placements[act]).toMatchObject({ arena: "io", rowStride: 8 });
});

test("a chain of in-place ops uses one block of scratch memory", () => {
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("tokens"), columns: 8 });
  let value = g.add("linear", [x, g.weight("w", [8, 8]), null, null], { activation: "none" }, "first");
  for (let i = 0; i < 5; i++) value = g.add("activation", [value], { function: "silu" }, `act${i}`);
  const out = g.add("linear", [value, g.weight("w2", [8, 8]), null, null], { activation: "none" }, "out");
  const graph = g.build([out]);
  const plan = planMemory(
    graph,
    capacity,
    target,
    new Map([
      ["w", "f32"],
      ["w2", "f32"],
    ]),
  );
  const offsets = graph.nodes
    .filter(({ op }) => op === "activation")
    .map(({ id }) => plan.placements[id]!.offset);
  expect(new Set(offsets).size).toBe(1);
  expect(plan.arenaBytes.scratch).toBe(256);
  expect(nodeOf(graph, out).name).toBe("out");
});

test("RoPE angles stay float32 if weights are bfloat16", () => {
  const g = new GraphBuilder();
  const x = g.input("x", { element: "activation", rows: rowsOf("patches"), columns: 8 });
  const positions = g.input("positions", { element: "i32", rows: rowsOf("patches"), columns: 2 });
  const projected = g.add("linear", [x, g.weight("w", [8, 8]), null, null], { activation: "none" }, "linear");
  const angles = g.weight("angles", [3, 4], { stored: [4], cosSinTable: new Float32Array(4) });
  const graph = g.build([g.add("rope", [projected, positions, angles], { heads: 1 }, "rope")]);
  const { placements } = planMemory(graph, capacity, { ...target, weightDType: "bf16" }, new Map());
  const dtypes = graph.nodes.flatMap(({ op, id }) => (op === "weight" ? [placements[id]?.dtype] : []));
  expect(dtypes).toEqual(["bf16", "f32"]);
});
