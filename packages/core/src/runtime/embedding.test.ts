import { expect, test } from "vitest";
import { f32ToBf16 } from "../numerics.js";
import { Embedding, splitLevels } from "./embedding.js";

const FIELDS = {
  grid: { t: 1, h: 2, w: 2 },
  tokens: 1,
  columns: 2,
  batch: { index: 0, items: 1, tokens: 1, budget: null, padding: 0, durationMs: 1 },
};

test.each(["f32", "bf16"] as const)("JSON has the numbers of %s rows, and a clone the bytes", (dtype) => {
  const values = Float32Array.of(1.5, -2);
  const { buffer } = dtype === "f32" ? values : f32ToBf16(values);
  const embedding = new Embedding({ ...FIELDS, dtype, bytes: new Uint8Array(buffer) });
  expect(JSON.parse(JSON.stringify(embedding))).toEqual({ ...FIELDS, dtype, data: [1.5, -2] });
  const { bytes, data } = structuredClone({ ...embedding, data: embedding.data });
  expect([...data]).toEqual([1.5, -2]);
  expect(bytes).toEqual(embedding.bytes);
});

test("levels are the columns of their widths, each in memory of its own", () => {
  const values = Uint16Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const embedding = { ...FIELDS, tokens: 2, columns: 4, bytes: new Uint8Array(values.buffer) };
  const levels = splitLevels(embedding, [2, 1, 1]);
  expect(levels.map(({ buffer }) => [...new Uint16Array(buffer)])).toEqual([
    [1, 2, 5, 6],
    [3, 7],
    [4, 8],
  ]);
  expect(() => splitLevels(embedding, [2, 1])).toThrow(
    "the embedding has 4 columns, and the widths make 3: pass outputColumns of the model that made it",
  );
});
