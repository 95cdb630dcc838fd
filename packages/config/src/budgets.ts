/**
 * Token budgets, items and frames of a batch, as given by the user or inferred from the model's range, by vLLM's rules
 * and with its messages. Pure: no model and no config document.
 *
 * Three differences from vLLM:
 * - more items than the largest budget, with the budgets inferred, is an error here (vLLM keeps a graph that cannot
 *   hold one token for each item);
 * - a budget listed twice counts once (vLLM captures it twice);
 * - every number is checked, frames too, and packing counts frames (vLLM's packing does not, and overruns the captured
 *   segment table).
 */
import { VitgraphError } from "@vitgraph/errors";
import { listed } from "./value.js";

/** Limit on the number of token budgets: a graph is captured for each, and a handful is usual. */
export const MAX_TOKEN_BUDGETS = 1024;
/** Output tokens of a budget, and so items and frames of a batch: four times the longest context that models have. */
export const MAX_TOKEN_BUDGET = 2 ** 20;

/** Smallest and largest token budget that make sense for a model under a scheduler, in output tokens. */
export interface BudgetRange {
  /** Tokens of the smallest usual item, such as 64: an image of 224² pixels in tokens of 28². */
  readonly min: number;
  /** The smaller of the longest context and the scheduler's tokens per batch. */
  readonly max: number;
}

/** The config's values, named as in `encoderOptions(config)`, and those of the model and the host. */
export interface EncoderBudgetRequest {
  /** `encoder_cudagraph_token_budgets`; empty: infer. */
  readonly tokenBudgets: readonly number[];
  /** `encoder_cudagraph_max_vision_items_per_batch`; 0: infer. */
  readonly maxItems: number;
  /** `encoder_cudagraph_max_frames_per_batch`; null: infer. */
  readonly maxFrames: number | null;
  /** Used only if budgets or items must be inferred. */
  readonly range: BudgetRange;
  /** Frames of the longest video that the model takes. Default: 1, as in vLLM. */
  readonly maxFramesPerVideo?: number;
  /** Videos allowed in a prompt (`--limit-mm-per-prompt`); 0 takes videos out of the graphs. */
  readonly videoLimit?: number;
}

/** The capacities of the graphs. `maxItems` never exceeds the smallest budget. */
export interface EncoderBudgets {
  /** Ascending, without repetition, never empty. In output tokens. */
  readonly tokenBudgets: readonly number[];
  /** Most items in a batch; at least 1. */
  readonly maxItems: number;
  /** Most frames in a batch, an image counting as one. 0: no videos in graphs, and frames are not counted. */
  readonly maxFrames: number;
}

/**
 * Resolves a config's budgets for a model.
 *
 * @throws VG_CONFIG_INVALID if a number is out of range, the range is empty, or a batch may have more items than the
 *   smallest budget has tokens
 */
export function resolveEncoderBudgets(request: EncoderBudgetRequest): EncoderBudgets {
  checkNumbers(request);
  const { maxItems, tokenBudgets } = inferBudgetsAndItems(request);
  return { tokenBudgets, maxItems, maxFrames: inferFrames(request, maxItems) };
}

/**
 * Powers of two times `min`, and `max` as the last: (64, 800) → 64, 128, 256, 512, 800. If `min` is above `max`, only `max`.
 *
 * @throws VG_CONFIG_INVALID if either is not a positive integer
 */
export function generateTokenBudgets(min: number, max: number): number[] {
  checkRangeIsPositive({ min, max });
  const budgets: number[] = [];
  for (let budget = min; budget < max; budget *= 2) budgets.push(budget);
  budgets.push(max);
  return budgets;
}

function inferBudgetsAndItems({ tokenBudgets: given, maxItems: givenItems, range }: EncoderBudgetRequest) {
  const tokenBudgets = [...new Set(given)].sort((a, b) => a - b);
  const [smallest] = tokenBudgets;
  if (smallest !== undefined && givenItems > 0) {
    checkItemsFit(givenItems, tokenBudgets);
    return { tokenBudgets, maxItems: givenItems };
  }
  checkRange(range);
  if (smallest !== undefined) {
    return { tokenBudgets, maxItems: Math.min(Math.floor(range.max / range.min), smallest) };
  }
  const inferred = generateTokenBudgets(Math.max(range.min, givenItems), range.max);
  if (givenItems > 0) {
    checkItemsFit(givenItems, inferred);
    return { tokenBudgets: inferred, maxItems: givenItems };
  }
  return { tokenBudgets: inferred, maxItems: Math.min(Math.floor(range.max / range.min), inferred[0]!) };
}

function inferFrames(request: EncoderBudgetRequest, maxItems: number): number {
  if (request.videoLimit === 0) return 0;
  return request.maxFrames ?? maxItems * (request.maxFramesPerVideo ?? 1);
}

function checkItemsFit(maxItems: number, tokenBudgets: readonly number[]): void {
  const smallest = tokenBudgets[0]!;
  if (maxItems <= smallest) return;
  throw new VitgraphError(
    "VG_CONFIG_INVALID",
    `encoder_cudagraph_max_vision_items_per_batch (${maxItems}) must be <= smallest token budget (${smallest})`,
    {
      remedy: `with budgets ${listed(tokenBudgets)} an item would have less than one token; raise the smallest budget, or lower the items`,
      details: { maxItems, tokenBudgets },
    },
  );
}

function checkRange(range: BudgetRange): void {
  checkRangeIsPositive(range);
  if (range.min <= range.max) return;
  throw new VitgraphError(
    "VG_CONFIG_INVALID",
    `Invalid encoder cudagraph budget range: min_budget=${range.min} > max_budget=${range.max}`,
    {
      remedy:
        "let the scheduler take at least the tokens of the smallest item, or give budgets and items yourself",
      details: { range },
    },
  );
}

function checkRangeIsPositive(range: BudgetRange): void {
  if (isPositiveInteger(range.min) && isPositiveInteger(range.max)) return;
  throw new VitgraphError(
    "VG_CONFIG_INVALID",
    `Invalid encoder cudagraph budget range: min_budget=${range.min}, max_budget=${range.max}. Both must be positive.`,
    { details: { range } },
  );
}

function checkNumbers(request: EncoderBudgetRequest): void {
  if (!request.tokenBudgets.every(isPositiveInteger)) {
    throw new VitgraphError(
      "VG_CONFIG_INVALID",
      `All encoder_cudagraph_token_budgets must be positive, got ${listed(request.tokenBudgets)}`,
      { remedy: "use whole numbers of output tokens", details: { tokenBudgets: request.tokenBudgets } },
    );
  }
  const { length } = request.tokenBudgets;
  const largest = request.tokenBudgets.reduce((a, b) => Math.max(a, b), 0);
  if (length > MAX_TOKEN_BUDGETS || largest > MAX_TOKEN_BUDGET) {
    throw new VitgraphError(
      "VG_CONFIG_INVALID",
      `encoder_cudagraph_token_budgets has ${length} members up to ${largest}, and may have ${MAX_TOKEN_BUDGETS} up to ${MAX_TOKEN_BUDGET}`,
      {
        remedy: "use fewer or smaller budgets: a graph is captured for each, with buffers of its size",
        details: { length, largest },
      },
    );
  }
  const counts = [
    ["encoder_cudagraph_max_vision_items_per_batch", request.maxItems, "0 = auto-infer"],
    ["encoder_cudagraph_max_frames_per_batch", request.maxFrames ?? 0, "None = auto-infer"],
    ["max_frames_per_video", request.maxFramesPerVideo ?? 0, "absent = 1"],
    ["the limit of videos per prompt", request.videoLimit ?? 0, "absent = no limit"],
  ] as const;
  for (const [name, value, meaning] of counts) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new VitgraphError("VG_CONFIG_INVALID", `${name} must be non-negative (${meaning}), got ${value}`, {
      remedy: "use a whole number",
      details: { name, value },
    });
  }
}

function isPositiveInteger(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
