/**
 * The scheduler's view of an item (an image or a video): a few numbers with vLLM's names, and no pixels. Patches are
 * counted before the spatial merge, tokens after it.
 */
import { VitgraphError } from "@vitgraph/errors";

/** Patches along time, height and width, before the merge. */
export interface GridPart {
  readonly t: number;
  readonly h: number;
  readonly w: number;
}

/** Patches of one item: transformers' `image_grid_thw`. */
export interface Grid extends GridPart {
  /** The second grid of an image with tiles of one size and a thumbnail of another, in the processor's order. */
  readonly next?: GridPart;
  /** Pixels of the image before its resize, for models that use them. */
  readonly imageSize?: { readonly height: number; readonly width: number };
  /** The item is a clip: t counts its frames, not the tiles of an image. `next.t` counts the tiles of all frames. */
  readonly isClip?: true;
}

/** The grids of an item. */
export function partsOf({ t, h, w, next }: Grid): readonly GridPart[] {
  const first = { t, h, w };
  return next === undefined ? [first] : [first, next];
}

/** The size of an item, as packing and the queue count it. */
export interface ItemSpec {
  /** Patches that go in. */
  readonly inputSize: number;
  /** Rows that come out, after the spatial merge. */
  readonly outputTokens: number;
  /** Frames (attention segments) of the item. Default: 1. */
  readonly frames?: number;
  /**
   * Tokens that the item takes of a budget, if it has more patches than its rows represent. Default: `outputTokens`.
   */
  readonly budgetTokens?: number;
}

/** Tokens that an item takes of a budget. */
export function budgetTokensOf({ budgetTokens, outputTokens }: ItemSpec): number {
  return budgetTokens ?? outputTokens;
}

/** The input of packing: any object with a spec. Batches hold the same objects. */
export interface Packable {
  readonly spec: ItemSpec;
}

/** Patches of all grids together. */
export function countInputPatches(grids: readonly Grid[]): number {
  return grids.flatMap(partsOf).reduce((sum, { t, h, w }) => sum + t * h * w, 0);
}

/** Tokens of all grids together after merging `mergeSize × mergeSize` patches. Each grid must merge evenly. */
export function countOutputTokens(grids: readonly Grid[], mergeSize: number): number {
  return grids.reduce((sum, grid) => sum + itemSpecOfGrid(grid, mergeSize).outputTokens, 0);
}

/**
 * The item of a grid. Throws `VG_ITEM_INVALID` unless the grid has positive integers, and its height and width are
 * multiples of `mergeSize`.
 */
export function itemSpecOfGrid(grid: Grid, mergeSize: number): ItemSpec {
  if (!Number.isSafeInteger(mergeSize) || mergeSize <= 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `merge size ${mergeSize} is not a positive integer`, {
      remedy: "use the model's spatial_merge_size",
      details: { mergeSize },
    });
  }
  const parts = partsOf(grid);
  for (const part of parts) checkPart(part, mergeSize);
  const inputSize = countInputPatches([grid]);
  return {
    inputSize,
    outputTokens: inputSize / (mergeSize * mergeSize),
    frames: parts.reduce((sum, { t }) => sum + t, 0),
  };
}

function checkPart(grid: GridPart, mergeSize: number): void {
  const { t, h, w } = grid;
  const name = `grid ${t}x${h}x${w}`;
  if (![t, h, w].every((side) => Number.isSafeInteger(side) && side > 0)) {
    throw new VitgraphError("VG_ITEM_INVALID", `${name} is not made of positive integers`, {
      remedy: "give frames, rows and columns of patches",
      details: { grid },
    });
  }
  if (h % mergeSize !== 0 || w % mergeSize !== 0) {
    throw new VitgraphError("VG_ITEM_INVALID", `${name} does not divide by the merge size ${mergeSize}`, {
      remedy: `resize the image so that rows and columns of patches are multiples of ${mergeSize}`,
      details: { grid, mergeSize },
    });
  }
}
