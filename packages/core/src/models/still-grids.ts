/** Grids that fill a batch, for checks, measurements and benchmarks. */
import type { Grid } from "../item.js";
import { outputTokensOf, type VisionModel } from "./vision-model.js";

/**
 * Grids of stills with `tokens` tokens in total, as square as possible.
 * For a model with a fixed grid: as many grids as fit.
 * @param itemTokens maximum tokens of one still
 */
export function stillGrids(
  model: Pick<VisionModel, "spatialMergeSize" | "fixedGrid" | "maxGridSide" | "tokensOf">,
  tokens: number,
  itemTokens = tokens,
): readonly Grid[] {
  const { spatialMergeSize: merge, fixedGrid } = model;
  if (fixedGrid !== undefined) {
    return new Array<Grid>(Math.floor(tokens / outputTokensOf(model, fixedGrid))).fill(fixedGrid);
  }
  const longest = Math.floor(model.maxGridSide / merge);
  const grids: Grid[] = [];
  for (let left = tokens; left > 0; ) {
    const size = Math.min(left, itemTokens);
    const rows = Math.min(longest, Math.floor(Math.sqrt(size)));
    const gridOf = (columns: number) => ({ t: 1, h: rows * merge, w: columns * merge });
    let columns = Math.min(longest, Math.floor(size / rows));
    // The output can have more rows than merged patches.
    while (columns > 0 && outputTokensOf(model, gridOf(columns)) > size) columns -= 1;
    if (columns === 0) break;
    grids.push(gridOf(columns));
    left -= outputTokensOf(model, gridOf(columns));
  }
  return grids;
}
