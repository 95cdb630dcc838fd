/** The layout of an item with several grids: joins the layouts of the grids. */
import { type Grid, type GridPart, partsInRowOrder, patchCount } from "../item.js";
import { concatenate } from "../numerics.js";
import { PATCH_TABLES, type PatchTables } from "./patch-tables.js";
import type { GridLayout, SegmentList } from "./vision-model.js";

/**
 * Concatenates tables, segments and patch orders.
 * @param layoutOf returns the layout of one grid, which has only these
 */
export function partsLayout(grid: Grid, layoutOf: (part: GridPart) => GridLayout): GridLayout {
  const parts = partsInRowOrder(grid);
  if (parts.length === 1) return layoutOf(grid);
  // All frames of a clip share their parts, so each layout is computed once.
  const layouts = new Map([...new Set(parts)].map((part) => [part, layoutOf(part)]));
  const ordered = parts.map((part) => layouts.get(part) as GridLayout);
  const lists = Object.keys(ordered[0]?.segments ?? {}) as SegmentList[];
  return {
    patchTables: () => joinedTables(ordered.map((layout) => layout.patchTables())),
    patchOrder: joinedOrders(parts, ordered),
    segments: Object.fromEntries(
      lists.map((list) => [list, ordered.flatMap(({ segments }) => segments[list] ?? [])]),
    ),
  };
}

function joinedOrders(parts: readonly GridPart[], layouts: readonly GridLayout[]): Int32Array {
  let start = 0;
  const orders = parts.map((part, index) => {
    const first = start;
    const order = layouts[index]?.patchOrder;
    start += patchCount(part);
    return Int32Array.from({ length: start - first }, (_, patch) => first + (order?.[patch] ?? patch));
  });
  return concatenate(orders);
}

function joinedTables(tables: readonly PatchTables[]): PatchTables {
  return Object.fromEntries(
    PATCH_TABLES.flatMap((name) => {
      const parts = tables.flatMap((table) => table[name] ?? []);
      return parts.length === 0 ? [] : [[name, concatenate(parts)]];
    }),
  );
}
