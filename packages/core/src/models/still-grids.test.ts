/** stillGrids fills a batch completely, with grids within the model's maximum side. */
import { expect, test } from "vitest";
import { stillGrids } from "./still-grids.js";

const model = { dims: { patches: 9, tokens: 1 }, spatialMergeSize: 3, maxGridSide: 64 };
const tokensOf = (grids: ReturnType<typeof stillGrids>) =>
  grids.reduce((sum, { h, w }) => sum + (h * w) / 9, 0);

test.each([1, 7, 440, 441, 442, 460, 4096])("%i tokens in grids of at most 64 patches a side", (tokens) => {
  const grids = stillGrids(model, tokens);
  expect(tokensOf(grids)).toBe(tokens);
  expect(Math.max(...grids.flatMap(({ h, w }) => [h, w]))).toBeLessThanOrEqual(63);
});

test("one grid is enough if the maximum side allows it", () => {
  expect(stillGrids(model, 420)).toEqual([{ t: 1, h: 60, w: 63 }]);
  expect(stillGrids({ ...model, maxGridSide: 8192 }, 4096)).toEqual([{ t: 1, h: 192, w: 192 }]);
});

test("no grid exceeds itemTokens", () => {
  expect(stillGrids(model, 40, 16).map(({ h, w }) => (h * w) / 9)).toEqual([16, 16, 8]);
});

test("the tokens of a budget count, where an image has fewer rows", () => {
  expect(stillGrids({ ...model, tokensOf: () => 1 }, 40, 16).map(({ h, w }) => (h * w) / 9)).toEqual([
    16, 16, 8,
  ]);
});
