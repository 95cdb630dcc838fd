/** The token budgets of an encoder: the configured ones, or those that vLLM would infer for the model. */
import { type EncoderOptions, resolveEncoderBudgets } from "@vitgraph/config";
import type { PackLimits } from "@vitgraph/scheduler";
import type { VisionModel } from "../models/vision-model.js";

/** The token budgets of an encoder and the limits of its batches. */
export interface EncoderBudgets {
  /** `cudagraph_mm_encoder`: a program for each budget. Without it everything runs eagerly, packed up to one limit. */
  readonly cudagraph: boolean;
  /** False where `encoder_cudagraph_max_frames_per_batch` is 0: items of several frames then run eagerly. */
  readonly videos: boolean;
  readonly limits: PackLimits;
}

/**
 * The token budgets and limits of a batch that an encoder of `model` has under these options.
 *
 * @param maxBatchTokens the largest batch, in output tokens
 * @throws VG_CONFIG_INVALID for budgets, items or frames that contradict each other or the model
 */
export function resolveBudgets(
  model: VisionModel,
  maxBatchTokens: number,
  options: Pick<EncoderOptions, "cudagraph" | "tokenBudgets" | "maxItems" | "maxFrames">,
): EncoderBudgets {
  const { cudagraph, tokenBudgets, maxItems, maxFrames } = options;
  if (!cudagraph) {
    // No more items than tokens fit.
    return { cudagraph, videos: true, limits: { tokenBudgets: [maxBatchTokens], maxItems: maxBatchTokens } };
  }
  const resolved = resolveEncoderBudgets({
    tokenBudgets,
    maxItems,
    maxFrames,
    range: { min: model.minTokenBudget, max: maxBatchTokens },
  });
  // A frame needs no slot of its own here: every program has room for as many segments as tokens. So only a limit
  // that the user set is kept.
  const limits = { tokenBudgets: resolved.tokenBudgets, maxItems: resolved.maxItems };
  return {
    cudagraph,
    videos: maxFrames !== 0,
    limits: maxFrames === null || maxFrames === 0 ? limits : { ...limits, maxFrames },
  };
}
