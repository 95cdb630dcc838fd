/** The answer does not depend on the grid cache: any sequence of grids, with memory for few of them, against no cache at all. */
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

/** Both compute in float32, and differ in where an addition stands at most. */
const TOLERANCE = 1e-5;
/** 144 columns of f32 and two words. */
const ROW_BYTES = 144 * 4 + 8;

const side = fc.integer({ min: 1, max: 5 }).map((half) => 2 * half);
const frames = fc.oneof(
  { weight: 3, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.constantFrom(2, 3) },
);
const grid = fc.record({ t: frames, h: side, w: side });
const format = fc.constantFrom("u8_still", "u8", "normalized");
const batch = fc.array(fc.tuple(grid, format), { minLength: 1, maxLength: 4 });

describe.each([
  ["fused, budgets", { compile_mm_encoder: true, cudagraph_mm_encoder: true }],
  ["unfused, budgets", { cudagraph_mm_encoder: true }],
  ["fused, eager", { compile_mm_encoder: true }],
])("%s", (_, config) => {
  const compilationConfig =
    "cudagraph_mm_encoder" in config ? { ...config, encoder_cudagraph_token_budgets: [16, 40, 100] } : config;

  test("any calls, several at once", async () => {
    await using model = await loadModel(TINY);
    using device = createDevice({ backend: "cpu" });
    const shared = { model, device, compilationConfig, maxBatchTokens: 256 };
    // Rows for the smallest eager program, of 64 tokens, and a little more: a budget of 100 runs without the cache.
    using cached = await VisionEncoder.create({ ...shared, gridCacheBytes: 300 * ROW_BYTES });
    using uncached = await VisionEncoder.create({ ...shared, gridCacheBytes: 0 });
    await cached.poison();
    const { channels, patchSize, temporalPatchSize } = model.vision;
    const itemOf = (grid: EncoderItem["grid"], format: string, seed: number): EncoderItem => {
      const still = format === "u8_still" && grid.t === 1;
      const elements = grid.t * grid.h * grid.w * channels * patchSize ** 2 * (still ? 1 : temporalPatchSize);
      const value = (index: number) => (index * 7 + seed * 13) % 251;
      if (format === "normalized") {
        const pixelValues = Float32Array.from({ length: elements }, (_, index) => value(index) / 125 - 1);
        return { format, grid, pixelValues };
      }
      return {
        format: still ? "u8_still" : "u8",
        grid,
        pixels: Uint8Array.from({ length: elements }, (_, i) => value(i)),
      };
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (batches, poison) => {
          if (poison) await cached.poison();
          const calls = batches.map((items, call) =>
            items.map(([grid, format], index) => itemOf(grid, format, call + index)),
          );
          const answers = await Promise.all(calls.map((items) => cached.encode(items)));
          for (const [call, items] of calls.entries()) {
            const expected = joinEmbeddings(await uncached.encode(items));
            expect(
              compareWithReference(joinEmbeddings(answers[call]!), expected).relativeL2,
            ).toBeLessThanOrEqual(TOLERANCE);
          }
        },
      ),
      { numRuns: 40 },
    );
    const { hits, misses, evictions } = cached.stats().gridCache!;
    expect(hits).toBeGreaterThan(0);
    expect(misses).toBeGreaterThan(0);
    expect(evictions).toBeGreaterThan(0);
  });
});

test("with room for one budget alone, every case still agrees with transformers", async () => {
  await using model = await loadModel(TINY);
  using device = createDevice({ backend: "cpu" });
  const compilationConfig = { compile_mm_encoder: true, cudagraph_mm_encoder: true };
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig,
    gridCacheBytes: 300 * ROW_BYTES,
  });
  for (const [index, name] of CASE_NAMES.entries()) {
    const { items, expected } = await readCase(index);
    const { relativeL2 } = compareWithReference(joinEmbeddings(await encoder.encode(items)), expected);
    expect(relativeL2, name).toBeLessThanOrEqual(TOLERANCE);
  }
});
