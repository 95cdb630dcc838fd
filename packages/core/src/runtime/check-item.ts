/** Whether an item is one that a model encodes: its form, and the side of its grid. */
import { VitgraphError } from "@vitgraph/errors";
import { checkItem, type EncoderItem } from "../item.js";
import type { VisionModel } from "../models/vision-model.js";

/** @throws VG_ITEM_INVALID naming what does not fit */
export function checkItemOfModel(item: EncoderItem, vision: VisionModel): void {
  checkItem(item, {
    mergeSize: vision.spatialMergeSize,
    channels: vision.channels,
    temporal: vision.temporalPatchSize,
    patch: vision.patchSize,
  });
  const side = Math.max(item.grid.h, item.grid.w);
  if (side <= vision.maxGridSide) return;
  throw new VitgraphError(
    "VG_ITEM_INVALID",
    `a grid side of ${side} patches is beyond ${vision.maxGridSide}`,
    {
      remedy: "cut the image into several",
      details: { grid: item.grid },
    },
  );
}
