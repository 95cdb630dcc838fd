/** Grids to fill a batch with, for checking, measuring and benching a model. */
import { type Grid, tokenCount } from "../item.js";
import type { VisionModel } from "./vision-model.js";

/**
 * Grids of stills with `tokens` tokens together, as square as they come.
 * A model with one grid gets as many of it as fit.
 * @param itemTokens tokens of one still at most
 */
export function stillGrids(
  { spatialMergeSize: merge, fixedGrid }: Pick<VisionModel, "spatialMergeSize" | "fixedGrid">,
  tokens: number,
  itemTokens = tokens,
): readonly Grid[] {
  if (fixedGrid !== undefined) {
    return new Array<Grid>(Math.floor(tokens / tokenCount(fixedGrid, merge))).fill(fixedGrid);
  }
  const grids: Grid[] = [];
  for (let left = tokens; left > 0; ) {
    const size = Math.min(left, itemTokens);
    const rows = Math.floor(Math.sqrt(size));
    const columns = Math.floor(size / rows);
    grids.push({ t: 1, h: rows * merge, w: columns * merge });
    left -= rows * columns;
  }
  return grids;
}
