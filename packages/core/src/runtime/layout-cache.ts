/**
 * An LRU cache of a model's layout tables by grid, bounded by bytes: traffic has few image sizes, and computing the
 * table of a large image takes longer than copying it.
 */
import type { Graph } from "../graph/graph.js";
import { type Grid, gridKey, patchCount } from "../item.js";
import { type PatchTables, patchTableInputs } from "../models/patch-tables.js";
import type { GridLayout } from "../models/vision-model.js";

/** Some 50 grids of 4096 patches of 40 bytes: row, column, and four taps with their weights. */
const DEFAULT_MAX_BYTES = 8 * 2 ** 20;

/** The bytes that a graph's patch tables have for one patch. Their elements have four each. */
export function patchTableBytes(graph: Graph): number {
  return 4 * patchTableInputs(graph).reduce((sum, { type }) => sum + type.columns, 0);
}

export class LayoutCache {
  readonly #compute: (grid: Grid) => GridLayout;
  readonly #patchBytes: number;
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #layouts = new Map<string, { readonly layout: GridLayout; readonly sizeBytes: number }>();
  #bytes = 0;

  /** @param compute the model's `layout`. @param patchBytes of all patch tables, for one patch */
  constructor(compute: (grid: Grid) => GridLayout, patchBytes: number, maxBytes = DEFAULT_MAX_BYTES) {
    this.#compute = compute;
    this.#patchBytes = patchBytes;
    this.#maxBytes = maxBytes;
  }

  /** Bytes of the cached layouts, and of their patch tables, whether those have been computed or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Shared by all callers with this grid: not to be written to. */
  get(grid: Grid): GridLayout {
    const key = gridKey(grid);
    const known = this.#layouts.get(key);
    if (known !== undefined) {
      this.#layouts.delete(key);
      this.#layouts.set(key, known);
      return known.layout;
    }
    const layout = keepTables(this.#compute(grid));
    const sizeBytes = patchCount(grid) * this.#patchBytes + listBytes(layout);
    this.#layouts.set(key, { layout, sizeBytes });
    this.#bytes += sizeBytes;
    for (const [oldest, dropped] of this.#layouts) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#layouts.delete(oldest);
      this.#bytes -= dropped.sizeBytes;
    }
    return layout;
  }
}

/** Of everything but the patch tables. */
function listBytes({ segments, ...orders }: GridLayout): number {
  const entries = Object.values(segments).reduce((sum, list) => sum + list.length, 0);
  const { patchOrder, tokenOrder, rowSources, rowPositions, patchRows, tokenSources, tokenTaps } = orders;
  const { patches, merged } = orders.convolutionRows ?? {};
  const others = [rowPositions, tokenTaps?.rows, tokenTaps?.weights, patches, merged];
  return [patchOrder, tokenOrder, rowSources, patchRows, tokenSources, ...others].reduce(
    (sum, order) => sum + (order?.byteLength ?? 0),
    entries * Float64Array.BYTES_PER_ELEMENT,
  );
}

/** Computes the patch tables once, and only on demand: batches over the grid cache do not need them. */
function keepTables(layout: GridLayout): GridLayout {
  let tables: PatchTables | undefined;
  return {
    ...layout,
    patchTables() {
      tables ??= layout.patchTables();
      return tables;
    },
  };
}
