/** Which token budgets an encoder prepares: what the configuration says, else what vLLM would infer for the model. */
import { type CompilationConfig, encoderOptions, resolveEncoderBudgets } from "@vitgraph/config";
import type { VisionModel } from "../models/vision-model.js";

export interface EncoderBudgets {
  /** Ascending; empty where graphs are off, and everything runs eagerly. */
  readonly tokenBudgets: readonly number[];
  readonly maxItems: number;
  readonly maxFrames?: number;
}

export function resolveBudgets(
  model: VisionModel,
  maxBatchTokens: number,
  config: CompilationConfig = {},
): EncoderBudgets {
  const options = encoderOptions(config);
  if (!options.cudagraph) return { tokenBudgets: [], maxItems: Number.POSITIVE_INFINITY };
  return resolveEncoderBudgets({
    tokenBudgets: options.tokenBudgets,
    maxItems: options.maxItems,
    maxFrames: options.maxFrames,
    range: { min: model.minTokenBudget, max: maxBatchTokens },
  });
}
