/** The tower against transformers: every case, fused and not, replayed and eager, in any company and order. */
import {
  compareWithReference,
  createDevice,
  type EncoderItem,
  loadModel,
  VisionEncoder,
} from "@vitgraph/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CASE_NAMES, joinEmbeddings, readCase, TINY } from "./fixtures.js";

/** Both sides compute in float32; only the order of additions differs. */
const TOLERANCE = 1e-5;

const cases = await Promise.all(CASE_NAMES.map((_, index) => readCase(index)));

const CONFIGURATIONS = {
  "unfused, eager": {},
  "fused, eager": { compile_mm_encoder: true },
  "unfused, budgets": { cudagraph_mm_encoder: true },
  "fused, budgets": { compile_mm_encoder: true, cudagraph_mm_encoder: true },
  // Each batch is far smaller than its budget, or just fits, or is above the largest.
  "fused, one large budget": {
    compile_mm_encoder: true,
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: [4096],
  },
  "fused, odd budgets": {
    compile_mm_encoder: true,
    cudagraph_mm_encoder: true,
    encoder_cudagraph_token_budgets: [5, 19, 34],
    encoder_cudagraph_max_vision_items_per_batch: 3,
  },
} as const;

describe.each(Object.entries(CONFIGURATIONS))("Qwen3-VL, %s", (_, compilationConfig) => {
  async function withEncoder<T>(use: (encoder: VisionEncoder) => Promise<T>): Promise<T> {
    await using model = await loadModel(TINY);
    using device = createDevice({ backend: "cpu" });
    using encoder = await VisionEncoder.create({ model, device, compilationConfig, maxBatchTokens: 1024 });
    await encoder.poison();
    return await use(encoder);
  }

  const errorOf = async (encoder: VisionEncoder, items: readonly EncoderItem[], expected: Float32Array) =>
    compareWithReference(joinEmbeddings(await encoder.encode(items)), expected).relativeL2;

  test("each case", () =>
    withEncoder(async (encoder) => {
      for (const [index, { items, expected }] of cases.entries()) {
        expect(await errorOf(encoder, items, expected), CASE_NAMES[index]).toBeLessThanOrEqual(TOLERANCE);
      }
    }));

  test("all cases in one call, and each item alone", () =>
    withEncoder(async (encoder) => {
      const items = cases.flatMap((one) => one.items);
      const expected = Float32Array.from(cases.flatMap((one) => [...one.expected]));
      expect(await errorOf(encoder, items, expected)).toBeLessThanOrEqual(TOLERANCE);
      const alone = await Promise.all(items.map(async (item) => (await encoder.encode([item]))[0]!));
      expect(compareWithReference(joinEmbeddings(alone), expected).relativeL2).toBeLessThanOrEqual(TOLERANCE);
    }));

  test("any choice of items in any order: large after small, small after large", () =>
    withEncoder(async (encoder) => {
      const items = cases.flatMap(({ items, expected }) => {
        let at = 0;
        const columns =
          expected.length / items.reduce((sum, { grid }) => sum + (grid.t * grid.h * grid.w) / 4, 0);
        return items.map((item) => {
          const length = ((item.grid.t * item.grid.h * item.grid.w) / 4) * columns;
          at += length;
          return { item, expected: expected.subarray(at - length, at) };
        });
      });
      const choice = fc.array(fc.nat(items.length - 1), { minLength: 1, maxLength: 12 });
      await fc.assert(
        fc.asyncProperty(choice, async (indices) => {
          const chosen = indices.map((index) => items[index]!);
          const outcomes = await encoder.encode(chosen.map(({ item }) => item));
          for (const [index, { expected }] of chosen.entries()) {
            const { relativeL2 } = compareWithReference(joinEmbeddings([outcomes[index]!]), expected);
            expect(relativeL2).toBeLessThanOrEqual(TOLERANCE);
          }
        }),
        { numRuns: 25 },
      );
    }));
});

test("with encoder_cudagraph_max_frames_per_batch 0 videos run eagerly, and images are still replayed", async () => {
  await using model = await loadModel(TINY);
  using device = createDevice({ backend: "cpu" });
  const compilationConfig = { cudagraph_mm_encoder: true, encoder_cudagraph_max_frames_per_batch: 0 };
  using encoder = await VisionEncoder.create({ model, device, compilationConfig, maxBatchTokens: 1024 });
  const { items, expected } = cases[CASE_NAMES.indexOf("video")]!;
  const outcomes = await encoder.encode(items);
  expect(compareWithReference(joinEmbeddings(outcomes), expected).relativeL2).toBeLessThanOrEqual(TOLERANCE);
  const budgets = outcomes.map((outcome) =>
    outcome.status === "fulfilled" ? outcome.value.batch.budget : undefined,
  );
  expect(budgets).toEqual([null, 64]);
});
