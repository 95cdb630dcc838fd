/** Whether an item is one that a model encodes: its form, and the side of its grid. */
import { VitgraphError } from "@vitgraph/errors";
import { checkItem, type EncoderItem, type Grid, type PatchShape } from "../item.js";
import type { VisionModel } from "../models/vision-model.js";

/** @throws VG_ITEM_INVALID naming what does not fit */
export function checkItemOfModel(item: EncoderItem, vision: VisionModel): void {
  checkItem(item, patchShapeOf(vision));
  checkGridSides(item.grid, vision);
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

/** @throws VG_ITEM_INVALID where the model has no rotary angles for a side */
export function checkGridSides(grid: Grid, { maxGridSide }: Pick<VisionModel, "maxGridSide">): void {
  const side = Math.max(grid.h, grid.w);
  if (side <= maxGridSide) return;
  throw new VitgraphError("VG_ITEM_INVALID", `a grid side of ${side} patches is beyond ${maxGridSide}`, {
    remedy: "cut the image into several",
    details: { grid },
  });
}
