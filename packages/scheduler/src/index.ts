/**
 * Which items run together, in which budget? The public door: a barrel, and nothing else.
 */
export type { Batch, Packer, PackLimits, PathLoad } from "./batch.js";
export { type BatchCost, costOfBatches, costPerBudget, costPerToken } from "./batch-cost.js";
export { findBudget, powerOfTwoBudgets } from "./budgets.js";
export { countInputPatches, countOutputTokens, type Grid, type ItemSpec, itemSpecOfGrid } from "./items.js";
export { createCostPacker, packByCost } from "./pack-by-cost.js";
export { packFirstFitDecreasing } from "./pack-first-fit.js";
export { packGreedyAscending } from "./pack-greedy.js";
