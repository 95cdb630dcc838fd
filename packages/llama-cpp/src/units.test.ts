import { expect, test } from "vitest";
import { gridPositions } from "./units.js";

test("an image: one time, its rows and columns; text goes on after the longer side", () => {
  const { positions, span } = gridPositions({ t: 1, h: 2, w: 3 });
  expect([...positions]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2]);
  expect(span).toBe(3);
});

test("a video in one block: times are scaled and rounded down, as transformers does", () => {
  const { positions, span } = gridPositions({ t: 3, h: 1, w: 2 }, 2.5);
  expect([...positions.subarray(0, 6)]).toEqual([0, 0, 2, 2, 5, 5]);
  expect(span).toBe(6);
});
