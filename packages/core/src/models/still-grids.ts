/** Grids that fill a batch, for checks, measurements and benchmarks. */
import { budgetTokensOf } from "@vitgraph/scheduler";
import type { Grid } from "../item.js";
import { itemSpec, type VisionModel } from "./vision-model.js";

/**
 * Grids of stills that take `tokens` tokens of a budget in total, as square as possible.
 * For a model with a fixed grid: as many grids as fit.
 * @param itemTokens maximum tokens of one still
 */
export function stillGrids(
  model: Pick<VisionModel, "dims" | "spatialMergeSize" | "fixedGrid" | "maxGridSide" | "tiled" | "tokensOf">,
  tokens: number,
  itemTokens = tokens,
): readonly Grid[] {
  const { spatialMergeSize: merge, fixedGrid } = model;
  const tokensOf = (grid: Grid) => budgetTokensOf(itemSpec(model, grid));
  if (fixedGrid !== undefined) {
    return new Array<Grid>(Math.floor(tokens / tokensOf(fixedGrid))).fill(fixedGrid);
  }
  const longest = Math.floor(model.maxGridSide / merge);
  const grids: Grid[] = [];
  for (let left = tokens; left > 0; ) {
    const size = Math.min(left, itemTokens);
    const rows = Math.min(longest, Math.floor(Math.sqrt(size)));
    const gridOf = (columns: number) => ({ t: 1, h: rows * merge, w: columns * merge });
    let columns = Math.min(longest, Math.floor(size / rows));
    // The output can have more rows than merged patches.
    while (columns > 0 && tokensOf(gridOf(columns)) > size) columns -= 1;
    if (columns === 0) break;
    grids.push(gridOf(columns));
    left -= tokensOf(gridOf(columns));
  }
  return grids;
}
