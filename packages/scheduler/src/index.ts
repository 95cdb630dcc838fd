/**
 * The entry point of @vitgraph/scheduler: packing, budgets and the queue. Re-exports only.
 *
 * @module @vitgraph/scheduler
 */
export { assignRanks, assignRanksByCost, type RankAssignment } from "./assign-ranks.js";
export type { Batch, Packer, PackLimits } from "./batch.js";
export {
  type BatchCost,
  cheapestBudget,
  costOfBatches,
  costPerBudget,
  costPerToken,
} from "./batch-cost.js";
export { findBudget, powerOfTwoBudgets } from "./budgets.js";
export { type Clock, systemClock } from "./clock.js";
export { commonGrids, commonSizes } from "./common-grids.js";
export { type BudgetPicture, drawBudgets } from "./draw-budgets.js";
export {
  EncoderQueue,
  type EncoderQueueOptions,
  type PackItems,
  type QueuedItem,
  type SubmitOptions,
} from "./encoder-queue.js";
export { FairLine, type LineEntry } from "./fair-line.js";
export { histogramOf, type SizeCount } from "./histogram.js";
export {
  budgetTokensOf,
  countInputPatches,
  countOutputTokens,
  type Grid,
  type GridPart,
  type ItemSpec,
  itemSpecOfGrid,
  type Packable,
  partsOf,
} from "./items.js";
export { onAbort, raceAbort } from "./on-abort.js";
export { createCostPacker, packByCost } from "./pack-by-cost.js";
export { packFirstFitDecreasing } from "./pack-first-fit.js";
export { packGreedyAscending } from "./pack-greedy.js";
export { type PackedSizesOptions, packedSizes } from "./packed-sizes.js";
export {
  type BudgetReport,
  type BudgetUse,
  type PlanOptions,
  planBudgets,
  reportBudgets,
} from "./plan-budgets.js";
