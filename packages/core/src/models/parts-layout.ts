/** The layout of an item of several grids, out of the layouts of each. */
import { type Grid, type GridPart, partsOf, patchCount } from "../item.js";
import { PATCH_TABLES, type PatchTables } from "./patch-tables.js";
import type { GridLayout } from "./vision-model.js";

/** Tables, segments and orders of patches one after the other. @param layoutOf of one grid, with no other orders than these */
export function partsLayout(grid: Grid, layoutOf: (part: GridPart) => GridLayout): GridLayout {
  const [first, ...others] = partsOf(grid).map((part) => ({ ...layoutOf(part), patches: patchCount(part) }));
  if (first === undefined || others.length === 0) return layoutOf(grid);
  return others.reduce(joined, first);
}

type PartLayout = GridLayout & { readonly patches: number };

function joined(a: PartLayout, b: PartLayout): PartLayout {
  const patchOrder = new Int32Array(a.patches + b.patches);
  for (let patch = 0; patch < patchOrder.length; patch++) {
    const own = patch - a.patches;
    patchOrder[patch] = own < 0 ? (a.patchOrder?.[patch] ?? patch) : a.patches + (b.patchOrder?.[own] ?? own);
  }
  const lists = Object.entries(a.segments).map(([list, lengths]) => [
    list,
    [...lengths, ...(b.segments[list as keyof GridLayout["segments"]] ?? [])],
  ]);
  return {
    patches: a.patches + b.patches,
    patchTables: () => joinedTables(a.patchTables(), b.patchTables()),
    patchOrder,
    segments: Object.fromEntries(lists),
  };
}

function joinedTables(a: PatchTables, b: PatchTables): PatchTables {
  const tables = PATCH_TABLES.flatMap((name) => {
    const [first, second] = [a[name], b[name]];
    if (first === undefined || second === undefined) return [];
    const table =
      first instanceof Float32Array
        ? new Float32Array(first.length + second.length)
        : new Int32Array(first.length + second.length);
    table.set(first);
    table.set(second, first.length);
    return [[name, table] as const];
  });
  return Object.fromEntries(tables);
}
