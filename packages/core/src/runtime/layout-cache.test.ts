import { expect, test } from "vitest";
import type { Grid } from "../item.js";
import { mergeBlockLayout } from "../models/merge-block-layout.js";
import { LayoutCache } from "./layout-cache.js";

/** 8 bytes of positions a patch, 8 a segment. */
function countingLayouts() {
  const asked: string[] = [];
  const layout = ({ t, h, w }: Grid) => {
    asked.push(`${t}x${h}x${w}`);
    return {
      patchTables: () => ({ positions: new Int32Array(2 * t * h * w) }),
      segments: { cu_seqlens: new Array<number>(t).fill(h * w) },
    };
  };
  return { asked, layout };
}

const grid = (w: number, t = 1): Grid => ({ t, h: 2, w });

test("a grid's table is made once", () => {
  const { asked, layout } = countingLayouts();
  const cache = new LayoutCache(layout, 8);
  const first = cache.get(grid(4));
  expect(cache.get(grid(4))).toBe(first);
  expect(cache.get(grid(4, 2)).segments).toEqual({ cu_seqlens: [8, 8] });
  expect(cache.get({ t: 1, h: 4, w: 2 }).patchTables().positions).toHaveLength(16);
  expect(asked).toEqual(["1x2x4", "2x2x4", "1x4x2"]);
});

test("the least recently used go first, and bytes are what counts", () => {
  const { asked, layout } = countingLayouts();
  // Three tables of 4 patches: 40 bytes each.
  const cache = new LayoutCache(layout, 8, 3 * 40);
  const [a, b, c] = [grid(2), { t: 1, h: 1, w: 4 }, { t: 1, h: 4, w: 1 }];
  for (const each of [a, b, c, a]) cache.get(each);
  expect(cache.bytes).toBe(3 * 40);
  cache.get(grid(4)); // 72 bytes: b and c have to go
  expect(cache.bytes).toBe(40 + 72);
  asked.length = 0;
  for (const each of [a, grid(4), b]) cache.get(each);
  expect(asked).toEqual(["1x1x4"]);
});

test("a table that is too large for the cache is made each time, and empties it", () => {
  const { asked, layout } = countingLayouts();
  const cache = new LayoutCache(layout, 8, 100);
  cache.get(grid(2));
  expect(cache.get(grid(40)).patchTables().positions).toHaveLength(160);
  expect(cache.bytes).toBe(0);
  cache.get(grid(40));
  expect(asked).toHaveLength(3);
});

test("a patch counts once, whatever the segments are: none, windows, or rows of merged patches", () => {
  for (const segments of [{}, { cu_merged_seqlens: [1] }, { cu_window_seqlens: [1, 1], cu_seqlens: [4] }]) {
    const layout = () => ({ patchTables: () => ({ positions: new Int32Array(8) }), segments });
    const cache = new LayoutCache(layout, 8);
    cache.get(grid(2));
    expect(cache.bytes).toBe(4 * 8 + 8 * Object.values(segments).flat().length);
  }
});

test("a kept table is made when it is first asked for, and once", () => {
  let made = 0;
  const counting = (asked: Grid) => {
    const layout = mergeBlockLayout(asked, 2);
    return {
      segments: layout.segments,
      patchTables() {
        made += 1;
        return layout.patchTables();
      },
    };
  };
  const cache = new LayoutCache(counting, 8, 3 * 40);
  for (const w of [2, 4, 6]) cache.get(grid(w));
  // For a grid that is in the grid cache nobody asks.
  expect(made).toBe(0);
  const { positions } = cache.get(grid(6)).patchTables();
  expect(cache.get(grid(6)).patchTables().positions).toBe(positions);
  expect(made).toBe(1);
});
