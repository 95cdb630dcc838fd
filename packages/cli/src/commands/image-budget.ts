/** The budget that an image takes: the unit of a plan, and of the linter's facts. */
import { type ImageProcessor, type ImageSize, imageGrid, itemSpec, type VisionModel } from "@vitgraph/core";
import { budgetTokensOf } from "@vitgraph/scheduler";

export interface ImageModel {
  readonly vision: VisionModel;
  readonly processor: ImageProcessor;
}

/** Tokens that an image of this size takes of a budget. @throws VG_IMAGE_ASPECT_RATIO, VG_ARGUMENT_INVALID */
export function imageBudgetTokens(size: ImageSize, { vision, processor }: ImageModel): number {
  return budgetTokensOf(itemSpec(vision, imageGrid(size, processor)));
}
