/**
 * The patch tables of a layout: one row per patch, in the tower's order. They depend only on the grid, so the layout
 * cache and the grid cache store them.
 *
 * Learned position embeddings are sampled by *taps*: the table rows that a patch reads, and their weights. All
 * interpolation rules are defined here; the op `interpolate_rows` computes weighted sums.
 */
import type { AnyNode, Graph } from "../graph/graph.js";
import type { Grid } from "../item.js";
import { linspaceF32 } from "../numerics.js";

/** The graph inputs filled by {@link PatchTables}, by table name. */
export const PATCH_TABLES = ["positions", "tap_rows", "tap_weights"] as const;
export type PatchTable = (typeof PATCH_TABLES)[number];

/**
 * `positions` i32 [patches, 2]: row and column in the grid. `tap_rows` i32 and `tap_weights` f32 [patches, taps]: rows
 * of the position embedding table, and their weights.
 */
export type PatchTables = Readonly<Partial<Record<PatchTable, Int32Array | Float32Array>>>;

/** The inputs of a graph that are patch tables. */
export function patchTableInputs(graph: Graph): readonly AnyNode[] {
  const names: readonly string[] = PATCH_TABLES;
  return graph.nodes.filter(({ op, name }) => op === "input" && names.includes(name));
}

/** The taps of a table without interpolation. @param tap_rows the row of each patch */
export function plainTaps(tap_rows: Int32Array): PatchTables {
  return { tap_rows, tap_weights: new Float32Array(tap_rows.length).fill(1) };
}

/** The taps of a table of side² rows, read at the nearest cell before each patch's position. */
export function nearestTaps(positions: Int32Array, { h, w }: Grid, side: number): PatchTables {
  const cells = Int32Array.from({ length: positions.length / 2 }, (_, patch) => {
    const [row, column] = [positions[2 * patch] as number, positions[2 * patch + 1] as number];
    return Math.floor((row * side) / h) * side + Math.floor((column * side) / w);
  });
  return plainTaps(cells);
}

/** The taps of means of two along an axis of `side` cells; an odd cell at the end is not read. */
export function pairMeanTaps(side: number): readonly (readonly AxisTap[])[] {
  return Array.from({ length: Math.floor(side / 2) }, (_, index) =>
    [2 * index, 2 * index + 1].map((cell) => ({ cell, weight: 0.5 })),
  );
}

/** A cell along one axis of a table, and its weight. */
export interface AxisTap {
  readonly cell: number;
  readonly weight: number;
}

/** For each of `count` patches along an axis, the cells of `side` that it reads. The number of taps is constant. */
type AxisSampler = (count: number, side: number) => readonly (readonly AxisTap[])[];

/** The taps of a table of side² rows resized to the grid, both axes alike. */
function resizedTaps(positions: Int32Array, { h, w }: Grid, side: number, sampler: AxisSampler): PatchTables {
  const [vertical, horizontal] = [sampler(h, side), sampler(w, side)];
  const taps = ((vertical[0] as readonly AxisTap[]).length ** 2 * positions.length) / 2;
  const tap_rows = new Int32Array(taps);
  const tap_weights = new Float32Array(taps);
  let at = 0;
  for (let patch = 0; patch < positions.length; patch += 2) {
    for (const row of vertical[positions[patch] as number] as readonly AxisTap[]) {
      for (const column of horizontal[positions[patch + 1] as number] as readonly AxisTap[]) {
        tap_rows[at] = row.cell * side + column.cell;
        tap_weights[at++] = row.weight * column.weight;
      }
    }
  }
  return { tap_rows, tap_weights };
}

/** The same taps for a table with `rows` additional rows at its start. */
export function offsetTapRows({ tap_rows, ...tables }: PatchTables, rows: number): PatchTables {
  return { ...tables, tap_rows: (tap_rows as Int32Array).map((row) => row + rows) };
}

/** Number of taps of {@link bilinearTaps}. */
export const BILINEAR_TAPS = 4;

/**
 * The taps of a table of side² rows resized to the grid bilinearly with aligned corners: torch.linspace(0, side − 1, n)
 * along each axis, in f32 as in transformers.
 */
export function bilinearTaps(positions: Int32Array, grid: Grid, side: number): PatchTables {
  return resizedTaps(positions, grid, side, alignedTaps);
}

function alignedTaps(count: number, side: number): readonly (readonly AxisTap[])[] {
  return linspaceF32(side - 1, count).map((coordinate) => {
    const low = Math.floor(coordinate);
    const fraction = Math.fround(coordinate - low);
    return [
      { cell: low, weight: Math.fround(1 - fraction) },
      { cell: Math.min(low + 1, side - 1), weight: fraction },
    ];
  });
}

/**
 * The {@link BILINEAR_TAPS} taps of a table of side² rows resized to the grid bilinearly, as in torch without antialias
 * and with half-pixel centres.
 */
export function halfPixelTaps(positions: Int32Array, grid: Grid, side: number): PatchTables {
  return resizedTaps(positions, grid, side, centredTaps);
}

/**
 * Like {@link halfPixelTaps}, but cells beyond the border of the table are zeros, as in torch's grid_sample. Without
 * upscaling both are equal.
 */
export function zeroPaddedTaps(positions: Int32Array, grid: Grid, side: number): PatchTables {
  return resizedTaps(positions, grid, side, (count) =>
    Array.from({ length: count }, (_, index) => {
      const coordinate = ((index + 0.5) * side) / count - 0.5;
      const low = Math.floor(coordinate);
      return [
        { cell: Math.max(low, 0), weight: low < 0 ? 0 : 1 - (coordinate - low) },
        { cell: Math.min(low + 1, side - 1), weight: low + 1 < side ? coordinate - low : 0 },
      ];
    }),
  );
}

/** For each of `count` cells along an axis, the cells of `side` read by torch's bilinear filter without antialias. */
export function centredTaps(count: number, side: number): readonly (readonly AxisTap[])[] {
  return Array.from({ length: count }, (_, index) => {
    const coordinate = Math.max(0, ((index + 0.5) * side) / count - 0.5);
    const low = Math.min(Math.floor(coordinate), side - 1);
    return [
      { cell: low, weight: 1 - (coordinate - low) },
      { cell: Math.min(low + 1, side - 1), weight: coordinate - low },
    ];
  });
}

/**
 * A table resized bilinearly with antialias. After downscaling, a cell may be a sum of all cells of an axis. To limit a
 * patch to four taps, the table is loaded with additional cells for every downscaled length of an axis
 * ({@link ResampledTable}).
 */
export interface AntialiasedTable {
  /** Cells along one side of the checkpoint's table. */
  readonly side: number;
  /** For each cell along one side of the loaded table, the weights of the checkpoint's cells. */
  readonly axis: readonly (readonly number[])[];
  /** First loaded cell of each downscaled axis, by the axis length. */
  readonly shrunk: ReadonlyMap<number, number>;
}

/** @param step the lengths of the grid's axes are multiples of it */
export function antialiasedTable(side: number, step: number): AntialiasedTable {
  const axis = Array.from({ length: side }, (_, place) =>
    Array.from({ length: side }, (_, own) => Number(own === place)),
  );
  const shrunk = new Map<number, number>();
  for (let count = step; count < side; count += step) {
    shrunk.set(count, axis.length);
    for (let index = 0; index < count; index++) axis.push(triangle(index, count, side));
  }
  return { side, axis, shrunk };
}

/** torch's antialiased filter: a triangle over the cells that are merged into one. */
function triangle(index: number, count: number, side: number): number[] {
  const scale = side / count;
  const centre = scale * (index + 0.5);
  const weights = Array.from({ length: side }, (_, place) =>
    Math.max(0, 1 - Math.abs(place + 0.5 - centre) / scale),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** The {@link BILINEAR_TAPS} taps of an {@link AntialiasedTable}. */
export function antialiasedTaps(positions: Int32Array, grid: Grid, table: AntialiasedTable): PatchTables {
  return resizedTaps(positions, grid, table.axis.length, (count) => {
    const first = table.shrunk.get(count);
    if (first === undefined) return centredTaps(count, table.side);
    return Array.from({ length: count }, (_, index) => {
      const own = { cell: first + index, weight: 1 };
      return [own, { ...own, weight: 0 }];
    });
  });
}

/** Number of taps of {@link bicubicTaps}. */
export const BICUBIC_TAPS = 16;

/**
 * The taps of a table of side² rows resized to the grid by torch's bicubic filter, without antialias, with half-pixel
 * centres and a replicated border.
 */
export function bicubicTaps(positions: Int32Array, grid: Grid, side: number): PatchTables {
  return resizedTaps(positions, grid, side, cubicTaps);
}

function cubicTaps(count: number, side: number): readonly (readonly AxisTap[])[] {
  return Array.from({ length: count }, (_, index) => {
    const coordinate = ((index + 0.5) * side) / count - 0.5;
    const low = Math.floor(coordinate);
    return [-1, 0, 1, 2].map((offset) => ({
      cell: Math.min(Math.max(low + offset, 0), side - 1),
      weight: cubic(Math.abs(coordinate - low - offset)),
    }));
  });
}

/** Keys' kernel with torch's a = −0.75. */
function cubic(distance: number): number {
  const a = -0.75;
  if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  return distance < 2 ? ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a : 0;
}
