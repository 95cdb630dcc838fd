/** Checks that a model can encode an item: its format and its grid. */
import { VitgraphError } from "@vitgraph/errors";
import { checkItem, type EncoderItem, type Grid, type GridPart, type PatchShape, partsOf } from "../item.js";
import type { VisionModel } from "../models/vision-model.js";

/** @throws VG_ITEM_INVALID naming what does not fit */
export function checkItemOfModel(item: EncoderItem, vision: VisionModel): void {
  checkItem(item, patchShapeOf(vision));
  checkGridOfModel(item.grid, vision);
}

/** The rows that a model reads. */
export function patchShapeOf(
  vision: Pick<VisionModel, "spatialMergeSize" | "channels" | "temporalPatchSize" | "patchSize">,
): PatchShape {
  return {
    mergeSize: vision.spatialMergeSize,
    channels: vision.channels,
    temporal: vision.temporalPatchSize,
    patch: vision.patchSize,
  };
}

type GridLimits = Pick<
  VisionModel,
  "maxGridSide" | "maxFrames" | "fixedGrid" | "twoGrids" | "tilesOf" | "takesClips"
>;

/** Whether the model can encode the grid. */
export function takesGrid(grid: Grid, limits: GridLimits): boolean {
  return gridProblem(grid, limits) === undefined;
}

/** @throws VG_ITEM_INVALID if the model cannot encode the grid */
export function checkGridOfModel(grid: Grid, limits: GridLimits): void {
  const problem = gridProblem(grid, limits);
  if (problem === undefined) return;
  const { fact, remedy } = problem;
  throw new VitgraphError("VG_ITEM_INVALID", fact, { remedy, details: { grid } });
}

interface Problem {
  readonly fact: string;
  readonly remedy: string;
}

/** @throws VG_IMAGE_ASPECT_RATIO for the size of an image */
function gridProblem(grid: Grid, limits: GridLimits): Problem | undefined {
  if (grid.next !== undefined && !limits.twoGrids) {
    return {
      fact: "the model takes items of one grid, and this one has two",
      remedy: "pass the second as an item of its own",
    };
  }
  const problems = partsOf(grid).flatMap((part) => partProblem(part, limits) ?? []);
  return problems[0] ?? tilesProblem(grid, limits);
}

function partProblem(
  grid: GridPart,
  { maxGridSide, maxFrames = Number.POSITIVE_INFINITY, fixedGrid }: GridLimits,
): Problem | undefined {
  if (fixedGrid !== undefined && !(["h", "w"] as const).every((side) => grid[side] === fixedGrid[side])) {
    const [found, expected] = [grid, fixedGrid].map(({ h, w }) => `${h} × ${w}`);
    return {
      fact: `the model takes grids of ${expected} patches, not of ${found}`,
      remedy: "resize the image as the checkpoint's image processor does",
    };
  }
  if (grid.t > maxFrames) {
    return {
      fact: `a grid has ${grid.t} frames, above the limit of ${maxFrames}`,
      remedy: "pass frames as items of their own",
    };
  }
  const side = Math.max(grid.h, grid.w);
  if (side <= maxGridSide) return undefined;
  return {
    fact: `a grid side has ${side} patches, above the limit of ${maxGridSide}`,
    remedy: "cut the image into several",
  };
}

/** One tile and clips need no image size: their rows are not rearranged. */
function tilesProblem(
  { t, imageSize, isClip }: Grid,
  { tilesOf, takesClips }: GridLimits,
): Problem | undefined {
  if (tilesOf === undefined) return undefined;
  if (isClip && !takesClips)
    return { fact: "the model takes images, and the item is a clip", remedy: "pass frames as images" };
  if (imageSize === undefined) {
    if (t === 1 || isClip) return undefined;
    return {
      fact: `an item of ${t} tiles has no grid.imageSize`,
      remedy:
        "give the height and width of its image, which determine the arrangement of the tiles, or isClip for a clip",
    };
  }
  const { height, width } = imageSize;
  const tiles = tilesOf(imageSize);
  if (t === tiles) return undefined;
  return {
    fact: `an image of ${width} × ${height} pixels has ${tiles} tiles, and the item has ${t}`,
    remedy: "give the size that the image had before its resize",
  };
}
