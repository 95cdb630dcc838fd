/**
 * The tables that a layout makes: a row for each of the tower's patches, in the tower's order. They depend on the grid alone,
 * so the layout cache and the grid cache keep them.
 *
 * Learned position embeddings are sampled by *taps*: the rows of the checkpoint's table that a patch reads, and the weight of
 * each. Whatever a family interpolates, it says here; the op (`interpolate_rows`) only adds up.
 */
import type { AnyNode, Graph } from "../graph/graph.js";
import type { Grid } from "../item.js";

/** The graph's inputs that {@link PatchTables} fill, by the names of their tables. */
export const PATCH_TABLES = ["positions", "tap_rows", "tap_weights"] as const;
export type PatchTable = (typeof PATCH_TABLES)[number];

/**
 * `positions` i32 [patches, 2]: row and column in the grid. `tap_rows` i32 and `tap_weights` f32 [patches, taps]: rows of the
 * table of position embeddings, and what each is multiplied by.
 */
export type PatchTables = Readonly<Partial<Record<PatchTable, Int32Array | Float32Array>>>;

/** The inputs of a graph that are patch tables. */
export function patchTableInputs(graph: Graph): readonly AnyNode[] {
  const names: readonly string[] = PATCH_TABLES;
  return graph.nodes.filter(({ op, name }) => op === "input" && names.includes(name));
}

/** The taps of a table that is not interpolated. @param tap_rows the row of each patch */
export function plainTaps(tap_rows: Int32Array): PatchTables {
  return { tap_rows, tap_weights: new Float32Array(tap_rows.length).fill(1) };
}

/** Taps of {@link bilinearTaps}. */
export const BILINEAR_TAPS = 4;

/**
 * The taps of a table of side² rows that is stretched over the grid bilinearly, corners on corners: torch.linspace(0,
 * side − 1, n) along each axis, in f32 as transformers computes it.
 */
export function bilinearTaps(positions: Int32Array, { h, w }: Grid, side: number): PatchTables {
  const [vertical, horizontal] = [alignedSamples(h, side), alignedSamples(w, side)];
  const patches = positions.length / 2;
  const tap_rows = new Int32Array(patches * BILINEAR_TAPS);
  const tap_weights = new Float32Array(patches * BILINEAR_TAPS);
  let at = 0;
  for (let patch = 0; patch < patches; patch++) {
    const v = vertical[positions[2 * patch] as number] as Sample;
    const u = horizontal[positions[2 * patch + 1] as number] as Sample;
    for (const [row, rowWeight] of [
      [v.low, Math.fround(1 - v.fraction)],
      [v.high, v.fraction],
    ] as const) {
      for (const [column, columnWeight] of [
        [u.low, Math.fround(1 - u.fraction)],
        [u.high, u.fraction],
      ] as const) {
        tap_rows[at] = row * side + column;
        tap_weights[at++] = rowWeight * columnWeight;
      }
    }
  }
  return { tap_rows, tap_weights };
}

/** Two neighbours on an axis of the table, and the weight of the second. */
interface Sample {
  readonly low: number;
  readonly high: number;
  readonly fraction: number;
}

function alignedSamples(count: number, side: number): readonly Sample[] {
  const step = Math.fround((side - 1) / Math.max(1, count - 1));
  return Array.from({ length: count }, (_, index) => {
    // linspace counts from the nearer end.
    const coordinate =
      index < Math.floor(count / 2) || count === 1
        ? Math.fround(step * index)
        : Math.fround(side - 1 - Math.fround(step * (count - 1 - index)));
    const low = Math.floor(coordinate);
    return { low, high: Math.min(low + 1, side - 1), fraction: Math.fround(coordinate - low) };
  });
}
