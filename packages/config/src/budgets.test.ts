import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type EncoderBudgetRequest, generateTokenBudgets, resolveEncoderBudgets } from "./budgets.js";

const AUTO: EncoderBudgetRequest = {
  tokenBudgets: [],
  maxItems: 0,
  maxFrames: null,
  range: { min: 64, max: 16384 },
};

describe("generateTokenBudgets (vLLM's TestGenerateBudgets)", () => {
  test.each([
    [64, 1024, [64, 128, 256, 512, 1024]],
    [64, 800, [64, 128, 256, 512, 800]],
    [64, 64, [64]],
    [64, 8192, [64, 128, 256, 512, 1024, 2048, 4096, 8192]],
    [200, 128, [128]],
  ])("from %i to %i", (min, max, budgets) => {
    expect(generateTokenBudgets(min, max)).toEqual(budgets);
  });

  test("ascends without repetition, from the smallest to the largest", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e6 }), (a, b) => {
        const [min, max] = [Math.min(a, b), Math.max(a, b)];
        const budgets = generateTokenBudgets(min, max);
        expect(budgets[0]).toBe(min);
        expect(budgets.at(-1)).toBe(max);
        expect(budgets.every((budget, i) => i === 0 || budget > budgets[i - 1]!)).toBe(true);
      }),
    );
  });
});

describe("resolveEncoderBudgets (vLLM's TestInitInvariantValidation)", () => {
  test.each([
    ["all inferred", { range: { min: 64, max: 16384 } }, { maxItems: 64, smallest: 64, largest: 16384 }],
    [
      "all inferred, small range",
      { range: { min: 4, max: 128 } },
      { maxItems: 4, smallest: 4, largest: 128 },
    ],
    ["both given", { tokenBudgets: [64, 128], maxItems: 32 }, { maxItems: 32, smallest: 64, largest: 128 }],
    [
      "items equal to the smallest budget",
      { tokenBudgets: [64, 128], maxItems: 64 },
      { maxItems: 64, smallest: 64, largest: 128 },
    ],
    [
      "only items, which raise the smallest budget",
      { maxItems: 128, range: { min: 64, max: 16384 } },
      { maxItems: 128, smallest: 128, largest: 16384 },
    ],
    [
      "only items, few",
      { maxItems: 2, range: { min: 4, max: 128 } },
      { maxItems: 2, smallest: 4, largest: 128 },
    ],
    [
      "only budgets, which bound the items",
      { tokenBudgets: [32, 64], range: { min: 64, max: 16384 } },
      { maxItems: 32, smallest: 32, largest: 64 },
    ],
  ])("%s", (_name, request, { maxItems, smallest, largest }) => {
    const budgets = resolveEncoderBudgets({ ...AUTO, ...request });
    expect(budgets.maxItems).toBe(maxItems);
    expect(budgets.tokenBudgets[0]).toBe(smallest);
    expect(budgets.tokenBudgets.at(-1)).toBe(largest);
  });

  test.each([
    [
      { tokenBudgets: [64], maxItems: 256 },
      "encoder_cudagraph_max_vision_items_per_batch (256) must be <= smallest token budget (64): with budgets [64] an item would have less than one token; raise the smallest budget, or lower the items",
    ],
    [
      { range: { min: 0, max: 128 } },
      "Invalid encoder cudagraph budget range: min_budget=0, max_budget=128. Both must be positive.",
    ],
    [
      { range: { min: 64, max: -1 } },
      "Invalid encoder cudagraph budget range: min_budget=64, max_budget=-1. Both must be positive.",
    ],
    [
      { range: { min: 200, max: 100 } },
      "Invalid encoder cudagraph budget range: min_budget=200 > max_budget=100: let the scheduler take at least the tokens of the smallest item, or give budgets and items yourself",
    ],
    [
      { tokenBudgets: [0, 128] },
      "All encoder_cudagraph_token_budgets must be positive, got [0, 128]: use whole numbers of output tokens",
    ],
    [
      { tokenBudgets: [-1, 64] },
      "All encoder_cudagraph_token_budgets must be positive, got [-1, 64]: use whole numbers of output tokens",
    ],
    [
      { maxItems: -1 },
      "encoder_cudagraph_max_vision_items_per_batch must be non-negative (0 = auto-infer), got -1: use a whole number",
    ],
    [
      { maxFrames: -8 },
      "encoder_cudagraph_max_frames_per_batch must be non-negative (None = auto-infer), got -8: use a whole number",
    ],
    [
      { maxFramesPerVideo: 1.5 },
      "max_frames_per_video must be non-negative (absent = 1), got 1.5: use a whole number",
    ],
    [
      { videoLimit: -1 },
      "the limit of videos per prompt must be non-negative (absent = no limit), got -1: use a whole number",
    ],
  ])("refuses %j", (request, message) => {
    expect(() => resolveEncoderBudgets({ ...AUTO, ...request })).toThrow(
      expect.objectContaining({ code: "VG_CONFIG_INVALID", message }),
    );
  });

  test("does not look at the range where budgets and items are given", () => {
    const request = { ...AUTO, tokenBudgets: [64], maxItems: 8, range: { min: 0, max: 0 } };
    expect(resolveEncoderBudgets(request)).toEqual({ tokenBudgets: [64], maxItems: 8, maxFrames: 8 });
  });

  test.each([
    ["inferred from items", {}, 64],
    ["inferred from items and frames per video", { maxFramesPerVideo: 32 }, 2048],
    ["given", { maxFrames: 16, maxFramesPerVideo: 32 }, 16],
    ["given as none", { maxFrames: 0, maxFramesPerVideo: 32 }, 0],
    ["none where no videos are allowed", { maxFrames: 16, videoLimit: 0 }, 0],
  ])("frames: %s", (_name, request, maxFrames) => {
    expect(resolveEncoderBudgets({ ...AUTO, ...request }).maxFrames).toBe(maxFrames);
  });
});

describe("holes of vLLM's rules", () => {
  test("more items than the largest budget, with budgets inferred, is an error", () => {
    expect(() => resolveEncoderBudgets({ ...AUTO, maxItems: 200, range: { min: 64, max: 128 } })).toThrow(
      "encoder_cudagraph_max_vision_items_per_batch (200) must be <= smallest token budget (128)",
    );
  });

  test("a budget listed twice counts once, and the order does not matter", () => {
    const budgets = resolveEncoderBudgets({ ...AUTO, tokenBudgets: [128, 64, 128, 64], maxItems: 8 });
    expect(budgets.tokenBudgets).toEqual([64, 128]);
  });

  test("there are never more items than tokens in the smallest budget", () => {
    const size = fc.integer({ min: 1, max: 20_000 });
    fc.assert(
      fc.property(
        fc.array(size, { maxLength: 6 }),
        fc.option(size, { nil: 0 }),
        size,
        size,
        (tokenBudgets, maxItems, a, b) => {
          const range = { min: Math.min(a, b), max: Math.max(a, b) };
          let budgets: ReturnType<typeof resolveEncoderBudgets>;
          try {
            budgets = resolveEncoderBudgets({ tokenBudgets, maxItems, maxFrames: null, range });
          } catch (error) {
            expect(String(error)).toContain("must be <= smallest token budget");
            return;
          }
          expect(budgets.maxItems).toBeGreaterThan(0);
          expect(budgets.maxItems).toBeLessThanOrEqual(budgets.tokenBudgets[0]!);
          expect(new Set(budgets.tokenBudgets).size).toBe(budgets.tokenBudgets.length);
        },
      ),
    );
  });
});
