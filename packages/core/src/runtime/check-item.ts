/** Whether an item is one that a model encodes: its form, and its grid. */
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

type GridLimits = Pick<VisionModel, "maxGridSide" | "maxFrames" | "fixedGrid" | "twoGrids" | "tilesOf">;

/** @throws VG_ITEM_INVALID where the model has no positions for the grid, or no layout */
export function checkGridOfModel(grid: Grid, limits: GridLimits): void {
  if (grid.next !== undefined && !limits.twoGrids) {
    throw new VitgraphError("VG_ITEM_INVALID", "the model takes items of one grid, and this one has two", {
      remedy: "pass the second as an item of its own",
      details: { grid },
    });
  }
  for (const part of partsOf(grid)) checkPartOfModel(part, limits);
  if (limits.tilesOf !== undefined) checkTiles(grid, limits.tilesOf);
}

function checkPartOfModel(
  grid: GridPart,
  { maxGridSide, maxFrames = Number.POSITIVE_INFINITY, fixedGrid }: GridLimits,
): void {
  if (fixedGrid !== undefined && !(["h", "w"] as const).every((side) => grid[side] === fixedGrid[side])) {
    const [found, expected] = [grid, fixedGrid].map(({ h, w }) => `${h} × ${w}`);
    throw new VitgraphError(
      "VG_ITEM_INVALID",
      `the model takes grids of ${expected} patches, not of ${found}`,
      {
        remedy: "resize the image as the checkpoint's image processor does",
        details: { grid },
      },
    );
  }
  if (grid.t > maxFrames) {
    throw new VitgraphError("VG_ITEM_INVALID", `a grid of ${grid.t} frames is beyond ${maxFrames}`, {
      remedy: "pass frames as items of their own",
      details: { grid },
    });
  }
  const side = Math.max(grid.h, grid.w);
  if (side <= maxGridSide) return;
  throw new VitgraphError("VG_ITEM_INVALID", `a grid side of ${side} patches is beyond ${maxGridSide}`, {
    remedy: "cut the image into several",
    details: { grid },
  });
}

/** A grid of one tile needs no size: the answer has its rows as they are. */
function checkTiles(grid: Grid, tilesOf: NonNullable<GridLimits["tilesOf"]>): void {
  const { t, imageSize } = grid;
  if (imageSize === undefined) {
    if (t === 1) return;
    throw new VitgraphError("VG_ITEM_INVALID", `an item of ${t} tiles has no grid.imageSize`, {
      remedy:
        "give the height and width of its image: they say how the tiles lie, and what of them is padding",
      details: { grid },
    });
  }
  const { height, width } = imageSize;
  const tiles = tilesOf(imageSize);
  if (t === tiles) return;
  throw new VitgraphError(
    "VG_ITEM_INVALID",
    `an image of ${width} × ${height} pixels has ${tiles} tiles, and the item ${t}`,
    { remedy: "give the size that the image had before its resize", details: { grid } },
  );
}
