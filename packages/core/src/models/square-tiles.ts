/** Sizes and budgets of towers with fixed square inputs, tiles or whole images. Each square is one attention segment. */
import type { VisionModel } from "./vision-model.js";

/**
 * @param side patches along one side of a square
 * @param merge patches along one side of a token
 * @param hasClassRow whether a square has a row besides those of its patches
 */
export function squareTiles(
  side: number,
  merge: number,
  hasClassRow = false,
): Pick<VisionModel, "spatialMergeSize" | "dims" | "minTokenBudget" | "maxGridSide" | "fixedGrid"> {
  const tokens = (side / merge) ** 2;
  const patches = merge ** 2;
  return {
    spatialMergeSize: merge,
    dims: {
      patches,
      tokens: 1,
      segments: 1 / tokens,
      ...(hasClassRow && { rows: patches + 1 / tokens }),
    },
    // vLLM's, where it infers one: a batch has at least one square.
    minTokenBudget: tokens,
    maxGridSide: side,
    fixedGrid: { t: 1, h: side, w: side },
  };
}
