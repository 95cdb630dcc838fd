/**
 * The hundred most frequent image grids of a product catalogue (the Shopify set of MLPerf Inference), most frequent
 * first: patches of 16 pixels, merged two by two. For planning budgets and warming caches before a service has its own
 * log. Only the order is known, so a grid's weight is taken as 1 / rank.
 */
import type { SizeCount } from "./histogram.js";
import { type Grid, itemSpecOfGrid } from "./items.js";

/** Rows × columns of patches; one number is a square. */
const MOST_FREQUENT_FIRST = `
  62 32 50 38 76 94 64 124 68 100 16 24 46 44 42 40 56 128 18 28 34 80 30 38x50 22 112 36 34x50 188 14x20 90 44x42
  16x18 54 48 40x42 60 88 26 156 94x62 30x38 24x38 20 24x16 18x16 120 60x80 52 66 20x14 24x32 160 28x38 30x40 38x42
  58 20x32 50x38 48x64 78 24x20 42x62 62x94 36x42 32x20 150 50x42 50x76 72 32x24 46x42 92x94 82 32x38 90x94 14x22
  76x100 94x92 24x18 54x42 38x32 18x24 28x32 30x42 56x76 62x42 28x50 32x42 36x50 38x24 108x82 16x20 26x38 38x36
  34x42 76x50 38x56 48x42 30x32`;

/** Grids of one frame, most frequent first. */
export const commonGrids: readonly Grid[] = MOST_FREQUENT_FIRST.trim()
  .split(/\s+/)
  .map((size): Grid => {
    const [height, width = height] = size.split("x").map(Number);
    return { t: 1, h: height!, w: width! };
  });

/** The tokens of {@link commonGrids} after a merge of `mergeSize`, each grid weighted 1 / rank. */
export function commonSizes(mergeSize = 2): SizeCount[] {
  return commonGrids.map((grid, index) => ({
    tokens: itemSpecOfGrid(grid, mergeSize).outputTokens,
    weight: 1 / (index + 1),
  }));
}
