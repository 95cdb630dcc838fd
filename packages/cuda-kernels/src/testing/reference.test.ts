/** The twin against values from elsewhere: a table of Φ, and arithmetic small enough to do by hand. */
import { expect, test } from "vitest";
import { type ReferenceInputs, referenceActivation, referenceKernel } from "./reference.js";

function inputs(operands: Record<string, number[][]>, scalars: Record<string, number> = {}): ReferenceInputs {
  return {
    scalars,
    operands: Object.fromEntries(
      Object.entries(operands).map(([name, rows]) => [
        name,
        { rows: rows.length, columns: rows[0]!.length, values: Float64Array.from(rows.flat()) },
      ]),
    ),
  };
}

test.each([
  // x · Φ(x), with Φ from a table of the normal distribution.
  ["gelu_erf", 1, 0.841344746068543],
  ["gelu_erf", -1, -0.158655253931457],
  ["gelu_erf", -5, -5 * 2.866515718791939e-7],
  ["gelu_tanh", 1, 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * 1.044715))],
  ["quick_gelu", 2, 2 / (1 + Math.exp(-3.404))],
  ["silu", -3, -3 / (1 + Math.exp(3))],
  ["none", -3, -3],
] as const)("%s(%s)", (activation, x, expected) => {
  expect(referenceActivation(activation)(x) / expected).toBeCloseTo(1, 12);
});

test("mean_groups takes the mean of equal column ranges", () => {
  const operands = { x: [[1, 2, 30, 40, 5, 6]], y: [[0, 0]] };
  expect([...referenceKernel("mean_groups", inputs(operands)).values]).toEqual([12, 16]);
});

test("linear adds the residual after the activation", () => {
  const operands = {
    x: [[1, 2]],
    weight: [
      [3, 4],
      [-3, -4],
    ],
    bias: [[1, 1]],
    residual: [[10, 20]],
  };
  const { values } = referenceKernel("linear", inputs(operands, { activation: 4 }));
  expect(values[0]).toBeCloseTo(10 + 12 / (1 + Math.exp(-12)), 12);
  expect(values[1]).toBeCloseTo(20 - 10 / (1 + Math.exp(10)), 12);
});

test("layernorm", () => {
  const operands = { x: [[1, 3]], weight: [[2, 5]], bias: [[0, 1]] };
  expect([...referenceKernel("layernorm", inputs(operands, { epsilon: 3 })).values]).toEqual([-1, 3.5]);
});

test("interpolate_rows weighs rows of the table and adds them", () => {
  const operands = {
    table: [[1], [10], [100]],
    index: [
      [2, 0],
      [1, 1],
    ],
    weights: [
      [0.5, 3],
      [-1, 2],
    ],
  };
  expect([...referenceKernel("interpolate_rows", inputs(operands)).values]).toEqual([53, 10]);
});

test("rope turns the first half of the pairs by the row, the second by the column", () => {
  const quarterTurn = [0, 0, 1, 1];
  const noTurn = [1, 1, 0, 0];
  const operands = {
    x: [[1, 2, 3, 4, 5, 6, 7, 8]],
    positions: [[1, 0]],
    angles: [noTurn, quarterTurn],
  };
  const { values } = referenceKernel("rope", inputs(operands, { heads: 1 }));
  expect([...values]).toEqual([-5, -6, 3, 4, 1, 2, 7, 8]);
});

test("attention stays within its segment", () => {
  const q = [[0], [0], [1]];
  const v = [[1], [3], [7]];
  const operands = { q, k: q, v, cu_seqlens: [[0], [2], [3]] };
  expect([...referenceKernel("attention", inputs(operands, { heads: 1, scale: 1 })).values]).toEqual([
    2, 2, 7,
  ]);
});
