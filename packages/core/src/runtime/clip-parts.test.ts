import { expect, test } from "vitest";
import { bytesOf } from "../numerics.js";
import { clipParts, joinParts } from "./clip-parts.js";

const model = { chunkFrames: 4, spatialMergeSize: 2 };
const clip = (t: number) => {
  const grid = { t, h: 2, w: 2 };
  return { format: "u8", grid, pixels: Uint8Array.from({ length: 4 * t }, (_, at) => at >> 2) } as const;
};
const framesOf = (tokens: number, t: number) =>
  clipParts(clip(t), model, tokens).map(({ grid, ...item }) => {
    expect([grid.h, grid.w]).toEqual([2, 2]);
    return "pixels" in item ? [grid.t, item.pixels[0], item.pixels.at(-1)] : [];
  });

test("a clip is cut between chunks, into parts of as many as fit", () => {
  expect(framesOf(9, 9)).toEqual([[9, 0, 8]]);
  expect(framesOf(8, 9)).toEqual([
    [8, 0, 7],
    [1, 8, 8],
  ]);
  expect(framesOf(7, 9).map(([frames]) => frames)).toEqual([4, 4, 1]);
  expect(framesOf(1, 9).map(([frames]) => frames)).toEqual([4, 4, 1]);
});

test("clips whose frames are no chunks stay whole", () => {
  expect(clipParts(clip(9), { spatialMergeSize: 2 }, 1)).toEqual([clip(9)]);
});

test("the rows of parts follow each other, and the first NaN is counted over all", () => {
  const part = (values: readonly number[], firstNonFinite: number) => ({
    items: [{ bytes: bytesOf(Float32Array.from(values)), firstNonFinite }],
    columns: 2,
    durationMs: 1,
    missedFrames: [{ t: 4, h: 2, w: 2 }],
  });
  const joined = joinParts([part([1, 2, 3, 4], -1), part([5, Number.NaN], 1), part([6, Number.NaN], 1)], 4);
  expect(joined).toMatchObject({ columns: 2, durationMs: 3, items: [{ firstNonFinite: 5 }] });
  expect(joined.items[0]?.bytes).toEqual(bytesOf(Float32Array.of(1, 2, 3, 4, 5, Number.NaN, 6, Number.NaN)));
  expect(joined.missedFrames).toHaveLength(3);
});
