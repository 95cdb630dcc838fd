import { editDistance, nearestKey } from "@vitgraph/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compilationConfigSchema, writableKeys } from "./schema.js";

const KEYS = writableKeys(compilationConfigSchema);

describe("nearestKey", () => {
  test.each([
    ["cudagraph_mm_encodre", "cudagraph_mm_encoder"],
    ["cudagraph-mm-encoder", "cudagraph_mm_encoder"],
    ["Compile MM Encoder", "compile_mm_encoder"],
    ["encoder_cudagraph_max_items_per_batch", "encoder_cudagraph_max_vision_items_per_batch"],
    ["encoder_cudagraph_budgets", "encoder_cudagraph_token_budgets"],
    ["token_budgets", "encoder_cudagraph_token_budgets"],
    ["mod", "mode"],
    ["model", "mode"],
    ["splitting_op", "splitting_ops"],
  ])("%s → %s", (key, nearest) => {
    expect(nearestKey(key, KEYS)).toBe(nearest);
  });

  test.each(["tensor_parallel_size", "x", "", "temperature"])("has no guess for %j", (key) => {
    expect(nearestKey(key, KEYS)).toBeUndefined();
  });
});

describe("editDistance", () => {
  test.each([
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["encodre", "encoder", 1],
    ["same", "same", 0],
  ])("%j → %j: %i", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
  });

  test("is symmetric, and at least the difference in length", () => {
    const word = fc.string({ maxLength: 12 });
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b)).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
      }),
    );
  });
});
