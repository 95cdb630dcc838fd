import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CompilationConfigInput } from "./generated/types.js";
import { type LintFacts, type LintRule, lintCompilationConfig } from "./lint.js";
import { parseCompilationConfig } from "./parse.js";

/** Qwen3-VL's image processor and budget range, images only. */
const QWEN3_VL = {
  modelType: "qwen3_vl",
  images: { spatialMergeSize: 2, minTokens: 64, maxTokens: 16_384 },
  budgetRange: { min: 64, max: 16_384 },
  videoLimit: 0,
} satisfies LintFacts;

const GRAPHS = { cudagraph_mm_encoder: true } satisfies CompilationConfigInput;

function lint(config: CompilationConfigInput, facts: LintFacts = QWEN3_VL) {
  return lintCompilationConfig(parseCompilationConfig(config).config, facts);
}

function findings(rule: LintRule, config: CompilationConfigInput, facts?: LintFacts) {
  return lint(config, facts)
    .filter((finding) => finding.rule === rule)
    .map(({ severity, pointer, message }) => `${severity} ${pointer}: ${message}`);
}

test("inferred budgets are nothing to complain about", () => {
  expect(lint({ ...GRAPHS, compile_mm_encoder: true })).toEqual([]);
  expect(lint({})).toEqual([]);
  expect(lint({ ...GRAPHS, encoder_cudagraph_token_budgets: [64, 1024] }, {})).toEqual([]);
});

test("never throws, and points at keys that there are", () => {
  const size = fc.integer({ min: 0, max: 40_000 });
  const config = fc.record({
    cudagraph_mm_encoder: fc.boolean(),
    encoder_cudagraph_token_budgets: fc.array(
      size.map((value) => value + 1),
      { maxLength: 5 },
    ),
    encoder_cudagraph_max_frames_per_batch: fc.option(size),
    cudagraph_mode: fc.constantFrom("NONE" as const, "FULL" as const),
  });
  fc.assert(
    fc.property(config, size, size, fc.array(fc.tuple(size, size)), (input, min, max, sizes) => {
      const { config } = parseCompilationConfig(input);
      const facts = {
        ...QWEN3_VL,
        budgetRange: { min, max },
        sentImages: sizes.map(([width, tokens]) => ({ height: 1, width: width + 1, tokens: tokens + 1 })),
      };
      for (const { pointer, message, remedy } of lintCompilationConfig(config, facts)) {
        expect(Object.hasOwn(config, pointer.split("/")[1]!)).toBe(true);
        expect(`${message}: ${remedy}`).not.toMatch(/undefined|NaN|Infinity/);
      }
    }),
  );
});

describe("budget-duplicate", () => {
  test("names each repetition", () => {
    expect(
      findings("budget-duplicate", { ...GRAPHS, encoder_cudagraph_token_budgets: [64, 128, 64, 64, 16384] }),
    ).toEqual([
      "warning /encoder_cudagraph_token_budgets/2: token budget 64 is listed twice",
      "warning /encoder_cudagraph_token_budgets/3: token budget 64 is listed twice",
    ]);
  });
});

describe("budget-unreachable", () => {
  test("a budget below the smallest image", () => {
    expect(
      findings("budget-unreachable", { ...GRAPHS, encoder_cudagraph_token_budgets: [32, 64, 16384] }),
    ).toEqual([
      "warning /encoder_cudagraph_token_budgets/0: no image can reach token budget 32: the smallest has 64 tokens",
    ]);
  });

  test("a budget above what the scheduler sends", () => {
    expect(
      findings("budget-unreachable", { ...GRAPHS, encoder_cudagraph_token_budgets: [16384, 32768] }),
    ).toEqual([
      "warning /encoder_cudagraph_token_budgets/1: no batch can reach token budget 32768: the largest has 16384 tokens, and fits 16384",
    ]);
  });

  test("a budget above what the items of a batch can have", () => {
    const small = { ...QWEN3_VL, images: { ...QWEN3_VL.images, maxTokens: 1024 } };
    const config = {
      ...GRAPHS,
      encoder_cudagraph_token_budgets: [1024, 2048, 4096],
      encoder_cudagraph_max_vision_items_per_batch: 2,
    };
    expect(findings("budget-unreachable", config, small)).toEqual([
      "warning /encoder_cudagraph_token_budgets/2: no batch can reach token budget 4096: the largest has 2048 tokens, and fits 2048",
    ]);
    // A video may have more tokens than any image: how many is not known here.
    const { videoLimit: _, ...videos } = small;
    expect(findings("budget-unreachable", config, videos)).toEqual([]);
    expect(findings("budget-unreachable", config, { ...videos, maxVideoTokens: 1500 })).toEqual([]);
  });

  test("the budget that the largest batch falls into is reachable", () => {
    const config = { ...GRAPHS, encoder_cudagraph_token_budgets: [64, 20_000] };
    expect(findings("budget-unreachable", config)).toEqual([]);
  });

  test("says nothing where nothing is known", () => {
    expect(
      findings("budget-unreachable", { ...GRAPHS, encoder_cudagraph_token_budgets: [1, 1e6] }, {}),
    ).toEqual([]);
  });
});

describe("budgets-invalid", () => {
  test("more items than the model's largest budget", () => {
    expect(
      findings(
        "budgets-invalid",
        { ...GRAPHS, encoder_cudagraph_max_vision_items_per_batch: 200 },
        { budgetRange: { min: 64, max: 128 } },
      ),
    ).toEqual([
      "error /encoder_cudagraph_max_vision_items_per_batch: encoder_cudagraph_max_vision_items_per_batch (200) must be <= smallest token budget (128)",
    ]);
  });

  test("a range in which nothing fits", () => {
    expect(findings("budgets-invalid", GRAPHS, { budgetRange: { min: 200, max: 100 } })).toEqual([
      "error /encoder_cudagraph_token_budgets: Invalid encoder cudagraph budget range: min_budget=200 > max_budget=100",
    ]);
    expect(findings("budgets-invalid", {}, { budgetRange: { min: 200, max: 100 } })).toEqual([]);
  });
});

describe("items-above-budget", () => {
  test("is a warning while graphs are off", () => {
    expect(
      findings("items-above-budget", {
        encoder_cudagraph_token_budgets: [64],
        encoder_cudagraph_max_vision_items_per_batch: 65,
      }),
    ).toEqual([
      "warning /encoder_cudagraph_max_vision_items_per_batch: 65 items never fit the smallest token budget, 64",
    ]);
  });
});

describe("budgets-unused", () => {
  test("budgets without graphs", () => {
    expect(findings("budgets-unused", { encoder_cudagraph_token_budgets: [64] })).toEqual([
      "warning /encoder_cudagraph_token_budgets: token budgets are given, and no graphs are captured",
    ]);
  });
});

describe("image-never-fits", () => {
  const config = { ...GRAPHS, encoder_cudagraph_token_budgets: [64, 1024] };

  test("what the processor lets through and no budget holds", () => {
    expect(findings("image-never-fits", config)).toEqual([
      "warning /encoder_cudagraph_token_budgets: images have up to 16384 tokens, and the largest token budget is 1024",
    ]);
  });

  test("sizes that are known to come", () => {
    const facts = {
      ...QWEN3_VL,
      sentImages: [
        { height: 720, width: 1280, tokens: 880 },
        { height: 1080, width: 1920, tokens: 2040 },
      ],
    };
    expect(findings("image-never-fits", config, facts)).toEqual([
      "warning /encoder_cudagraph_token_budgets: an image of 1920 × 1080 pixels has 2040 tokens, and fits no token budget",
    ]);
  });

  test("is no matter without graphs", () => {
    expect(findings("image-never-fits", { encoder_cudagraph_token_budgets: [64] })).toEqual([]);
  });
});

describe("frames", () => {
  const config = { ...GRAPHS, encoder_cudagraph_token_budgets: [64, 16384] };

  test("fewer than items leave slots unused", () => {
    expect(findings("frames-below-items", { ...config, encoder_cudagraph_max_frames_per_batch: 16 })).toEqual(
      [
        "warning /encoder_cudagraph_max_frames_per_batch: 16 frames in a batch leave room for 16 of 64 items: an image counts as one frame",
      ],
    );
    expect(findings("frames-below-items", { ...config, encoder_cudagraph_max_frames_per_batch: 0 })).toEqual(
      [],
    );
    expect(findings("frames-below-items", config)).toEqual([]);
  });

  test("more than tokens never fit", () => {
    expect(
      findings("frames-unreachable", { ...config, encoder_cudagraph_max_frames_per_batch: 20_000 }),
    ).toEqual([
      "warning /encoder_cudagraph_max_frames_per_batch: 20000 frames never fit one batch: each has a token at least, and the largest token budget is 16384",
    ]);
  });
});

describe("cudagraph-mode-none", () => {
  test("graphs asked for while cudagraph_mode is NONE", () => {
    expect(findings("cudagraph-mode-none", { ...GRAPHS, cudagraph_mode: "NONE" })).toEqual([
      "warning /cudagraph_mode: encoder graphs are asked for while cudagraph_mode is NONE: vLLM then silently captures none",
    ]);
    expect(findings("cudagraph-mode-none", { cudagraph_mode: "NONE" })).toEqual([]);
    expect(findings("cudagraph-mode-none", GRAPHS)).toEqual([]);
  });
});

describe("models without support", () => {
  const facts = { modelType: "whisper", compileSupported: false, cudagraphSupported: false };

  test("compile_mm_encoder has no effect", () => {
    expect(findings("compile-unsupported", { compile_mm_encoder: true }, facts)).toEqual([
      "warning /compile_mm_encoder: the encoder of model type whisper is not compiled: compile_mm_encoder has no effect",
    ]);
    expect(findings("compile-unsupported", {}, facts)).toEqual([]);
    expect(findings("compile-unsupported", { compile_mm_encoder: true }, {})).toEqual([]);
  });

  test("cudagraph_mm_encoder has no effect", () => {
    expect(findings("cudagraph-unsupported", GRAPHS, { cudagraphSupported: false })).toEqual([
      "warning /cudagraph_mm_encoder: the encoder of this model is not captured: cudagraph_mm_encoder has no effect",
    ]);
  });
});

describe("merge-size", () => {
  test("another than the checkpoint's is an error", () => {
    expect(findings("merge-size", { encoder_spatial_merge_size: 4 })).toEqual([
      "error /encoder_spatial_merge_size: encoder_spatial_merge_size is 4, and the checkpoint's is 2",
    ]);
    expect(findings("merge-size", { encoder_spatial_merge_size: 2 })).toEqual([]);
  });
});

describe("too-many-graphs", () => {
  test("as many as vLLM warns at", () => {
    const budgets = Array.from({ length: 65 }, (_, index) => 64 + index * 256);
    expect(findings("too-many-graphs", { ...GRAPHS, encoder_cudagraph_token_budgets: budgets })).toEqual([
      "warning /encoder_cudagraph_token_budgets: 65 graphs will be captured: each takes start-up time and memory",
    ]);
    const fewer = { ...GRAPHS, encoder_cudagraph_token_budgets: budgets.slice(1) };
    expect(findings("too-many-graphs", fewer)).toEqual([]);
  });
});
