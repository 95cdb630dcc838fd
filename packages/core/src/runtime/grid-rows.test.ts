import fc from "fast-check";
import { expect, test } from "vitest";
import type { Grid } from "../item.js";
import { GridRows } from "./grid-rows.js";

const still = (h: number, w: number): Grid => ({ t: 1, h, w });

test("a grid is missing once, and its frames repeat", () => {
  const table = new GridRows(20);
  const first = table.acquire([still(2, 2), { t: 3, h: 2, w: 2 }]);
  expect(first.missing.map(({ frame }) => frame)).toEqual([still(2, 2)]);
  const [a, b, c, d] = first.missing[0]!.rows;
  expect([...first.rows]).toEqual(Array.from({ length: 4 }, () => [a, b, c, d]).flat());
  const later = table.acquire([still(2, 2)]);
  expect(later.missing).toEqual([]);
  expect([...later.rows]).toEqual([a, b, c, d]);
  expect(table.counts()).toEqual({ hits: 2, misses: 1, evictions: 0, entries: 1, usedRows: 4 });
});

test("frames of a chunk have rows of their own, and chunks repeat", () => {
  const table = new GridRows(40, 4);
  const clip = { t: 9, h: 2, w: 2 };
  const { missing, rows } = table.acquire([clip, { t: 3, h: 2, w: 2 }]);
  expect(missing.map(({ frame }) => frame.t)).toEqual([4, 1, 3]);
  const [chunk, last, short] = missing.map((frame) => [...frame.rows]);
  expect([...rows]).toEqual([...chunk!, ...chunk!, ...last!, ...short!]);
  expect(new Set(rows).size).toBe(32);
  // A chunk of one frame is a still.
  expect(table.acquire([still(2, 2), clip]).missing).toEqual([]);
  expect(table.framesOf(clip)).toEqual([{ ...clip, t: 4 }, still(2, 2)]);
});

test("h × w and w × h are two grids", () => {
  expect(new GridRows(20).acquire([still(2, 4), still(4, 2)]).missing).toHaveLength(2);
});

test("the least recently used make room, as many as it takes", () => {
  const table = new GridRows(16);
  table.acquire([still(2, 2)]);
  table.acquire([still(2, 4)]);
  table.acquire([still(2, 2)]);
  table.acquire([still(2, 6)]);
  expect(table.counts()).toMatchObject({ evictions: 1, entries: 2, usedRows: 16 });
  expect(table.acquire([still(2, 2)]).missing).toEqual([]);
  expect(table.acquire([still(4, 4)]).missing).toHaveLength(1);
  expect(table.counts()).toMatchObject({ evictions: 3, entries: 1, usedRows: 16 });
});

test("a batch's own grids do not make room for each other", () => {
  const table = new GridRows(12);
  table.acquire([still(2, 2)]);
  table.acquire([still(2, 4)]);
  // The oldest is one of the batch.
  const { rows } = table.acquire([still(4, 2), still(2, 2)]);
  expect(new Set(rows).size).toBe(12);
  expect(table.counts()).toMatchObject({ evictions: 1, entries: 2 });
});

test("more patches than rows are an error of whoever asks", () => {
  expect(() => new GridRows(8).acquire([still(2, 2), still(2, 4)])).toThrow(
    "the grids of a batch have 12 patches, and the grid cache 8 rows",
  );
});

test("a frame that could not be filled is given up, unless it has been acquired again since", () => {
  const table = new GridRows(8);
  const [first] = table.acquire([still(2, 2)]).missing;
  table.forget(first!);
  expect(table.counts()).toMatchObject({ entries: 0, usedRows: 0 });
  const [second] = table.acquire([still(2, 2)]).missing;
  table.forget(first!);
  expect(table.acquire([still(2, 2)])).toMatchObject({ missing: [], frames: [second] });
});

test("in any sequence of calls, no two grids share rows", () => {
  const side = fc.integer({ min: 1, max: 4 });
  const grid = fc.record({ t: fc.integer({ min: 1, max: 3 }), h: side, w: side });
  const batches = fc.array(fc.array(grid, { minLength: 1, maxLength: 3 }), { maxLength: 30 });
  fc.assert(
    fc.property(batches, (batches) => {
      const table = new GridRows(50);
      /** What the rows would hold on the device. */
      const filled = new Map<number, string>();
      for (const grids of batches) {
        const { rows, missing } = table.acquire(grids);
        for (const { frame, rows } of missing) {
          for (const [patch, row] of rows.entries()) filled.set(row, `${frame.h} ${frame.w} ${patch}`);
        }
        const expected = grids.flatMap(({ t, h, w }) =>
          Array.from({ length: t * h * w }, (_, patch) => `${h} ${w} ${patch % (h * w)}`),
        );
        expect([...rows].map((row) => filled.get(row))).toEqual(expected);
        expect(table.counts().usedRows).toBeLessThanOrEqual(50);
      }
    }),
  );
});
