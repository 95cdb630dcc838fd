import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createNullDevice } from "@vitgraph/cuda-kernels/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { graphFlops } from "../graph/graph.js";
import { type LoadedModel, loadDummyModel } from "../models/load-model.js";
import { stillGrids } from "../models/still-grids.js";
import { itemSpec } from "../models/vision-model.js";
import { workOfGrid } from "../runtime/stage-batch.js";
import { VisionEncoder } from "../runtime/vision-encoder.js";
import { type MiniatureModel, openMiniatureModel } from "../testing/miniature-model.js";
import { costFile, costIdentity, parseCosts, printCosts, readCosts, writeCosts } from "./cost-file.js";
import { costFromSamples, estimateCosts, itemFlops, type LatencySample } from "./cost-model.js";
import { EncoderEngine } from "./encoder-engine.js";
import { measureCosts } from "./measure-costs.js";

let miniature: MiniatureModel;
let directory: string;
let model: LoadedModel;
beforeAll(async () => {
  miniature = await openMiniatureModel();
  ({ directory, model } = miniature);
});
afterAll(() => miniature[Symbol.asyncDispose]());

const arbitraryPoint: fc.Arbitrary<LatencySample> = fc.record({
  budget: fc.constantFrom(64, 256, null),
  tokens: fc.integer({ min: 1, max: 300 }),
  // Whole microseconds, the resolution of clocks. Subnormal doubles are not tested.
  durationMs: fc.integer({ min: 0, max: 1e7 }).map((microseconds) => microseconds / 1000),
});
const arbitraryPoints = fc.array(arbitraryPoint, { minLength: 1, maxLength: 12 });

describe("the cost interpolated from samples", () => {
  const cost = costFromSamples([
    { budget: 64, tokens: 64, durationMs: 4 },
    { budget: 64, tokens: 16, durationMs: 1 },
    { budget: null, tokens: 100, durationMs: 7 },
  ]);

  test("is linear between samples, and extrapolated beyond the last", () => {
    expect([1, 16, 32, 64, 80].map((tokens) => cost(tokens, 64))).toEqual([1, 1, 2, 4, 5]);
  });

  test("of a single sample is constant", () => {
    expect([1, 100, 5000].map((tokens) => cost(tokens, null))).toEqual([7.21, 7.21, 7.21]);
  });

  test("prefers a replay to an eager run of about equal duration", () => {
    const near = costFromSamples([
      { budget: 64, tokens: 64, durationMs: 4.1 },
      { budget: null, tokens: 64, durationMs: 4 },
    ]);
    expect(near(64, 64)).toBeLessThan(near(64, null));
  });

  test("is infinite for budgets without samples", () => {
    expect(cost(5, 128)).toBe(Number.POSITIVE_INFINITY);
  });

  test("never decreases with tokens, and is never below a sample with the same or fewer tokens", () => {
    fc.assert(
      fc.property(arbitraryPoints, fc.constantFrom(64, 256, null), (points, budget) => {
        const curve = costFromSamples(points);
        const own = points.filter((point) => point.budget === budget);
        let before = 0;
        for (let tokens = 1; tokens <= 320; tokens++) {
          const value = curve(tokens, budget);
          if (own.length === 0) {
            expect(value).toBe(Number.POSITIVE_INFINITY);
            continue;
          }
          expect(Number.isFinite(value)).toBe(true);
          // Tolerance for rounding in the interpolation.
          expect(value).toBeGreaterThanOrEqual(before * (1 - 1e-12));
          for (const point of own.filter((measured) => measured.tokens <= tokens))
            expect(value).toBeGreaterThanOrEqual(point.durationMs * (1 - 1e-12));
          before = value;
        }
      }),
    );
  });

  test("never decreases with budgets", () => {
    fc.assert(
      fc.property(arbitraryPoints, fc.integer({ min: 1, max: 64 }), (points, tokens) => {
        const curve = costFromSamples(points);
        expect(curve(tokens, 256)).toBeGreaterThanOrEqual(
          points.some(({ budget }) => budget === 64) ? curve(tokens, 64) : 0,
        );
      }),
    );
    const noisy = costFromSamples([
      { budget: 64, tokens: 64, durationMs: 4 },
      { budget: 256, tokens: 64, durationMs: 3.9 },
      { budget: 256, tokens: 256, durationMs: 9 },
    ]);
    expect(noisy(50, 256)).toBe(noisy(50, 64));
    expect(noisy(65, 256)).toBe(4);
    expect(noisy(256, 256)).toBe(9);
  });

  test("does not depend on the order of the samples", () => {
    fc.assert(
      fc.property(
        arbitraryPoints.chain((points) =>
          fc.tuple(fc.constant(points), fc.shuffledSubarray(points, { minLength: points.length })),
        ),
        fc.integer({ min: 1, max: 400 }),
        ([points, shuffled], tokens) => {
          for (const budget of [64, 256, null])
            expect(costFromSamples(shuffled)(tokens, budget)).toBe(costFromSamples(points)(tokens, budget));
        },
      ),
    );
  });
});

test("the closed-form FLOPs of an item equal those of its graph", () => {
  const flops = itemFlops(model);
  for (const [t, tokens] of [
    [1, 7],
    [3, 20],
  ] as const) {
    const patches = t * tokens * 4;
    const dims = { patches, tokens: t * tokens, segments: t };
    const work = { dims, attentionPairs: { segments: patches ** 2 / t } };
    expect(flops({ inputSize: patches, outputTokens: t * tokens, frames: t })).toBeCloseTo(
      graphFlops(model.graph, work),
      3,
    );
  }
});

test.each(["llava-onevision-1.5-8b", "hunyuan-ocr-1b", "minicpm-v-4.6", "llava-1.5-7b"] as const)(
  "the FLOPs of an item of %s, whose tower or tokens have rows besides patches, are within 3 % of its graph's",
  (name) => {
    const { vision, graph, ...rest } = loadDummyModel(name);
    const flops = itemFlops({ vision, graph, ...rest });
    for (const tokens of [256, 576, 1024]) {
      const [grid] = stillGrids(vision, tokens);
      if (grid === undefined) continue;
      const ratio = flops(itemSpec(vision, grid)) / graphFlops(graph, workOfGrid(vision, grid));
      expect(Math.abs(ratio - 1)).toBeLessThan(0.03);
    }
  },
);

test("the FLOPs of frames that attend to each other in chunks equal those of the graph", () => {
  const chunked = loadDummyModel("kimi-k2.5");
  const patches = 4 * 64;
  const dims = { patches, tokens: patches / 4, merged: patches, segments: 1 };
  const work = { dims, attentionPairs: { segments: patches ** 2 } };
  const flops = itemFlops(chunked)(itemSpec(chunked.vision, { t: 4, h: 8, w: 8 }));
  expect(flops / graphFlops(chunked.graph, work)).toBeCloseTo(1, 9);
});

test("estimated costs grow with the tokens, and a batch is never free", () => {
  const cost = estimateCosts(model, { backend: "cpu" });
  expect(cost(1, 64)).toBeGreaterThan(0.2);
  expect(cost(64, 64)).toBeGreaterThan(cost(1, 64));
  expect(cost(64, 64)).toBe(cost(64, null));
});

async function withEncoder<T>(use: (encoder: VisionEncoder) => Promise<T>): Promise<T> {
  using device = createNullDevice();
  using encoder = await VisionEncoder.create({
    model,
    device,
    compilationConfig: {
      cudagraph_mm_encoder: true,
      encoder_cudagraph_token_budgets: [16, 64, 2048],
      encoder_cudagraph_max_vision_items_per_batch: 8,
    },
  });
  return await use(encoder);
}

test("budgets are measured at several fill ratios, eager runs at the ends of their programs' ranges", async () => {
  await withEncoder(async (encoder) => {
    const points = await measureCosts(encoder);
    const measured = (budget: number | null) =>
      points
        .filter((point) => point.budget === budget)
        .map(({ tokens }) => tokens)
        .sort((a, b) => a - b);
    expect(measured(16)).toEqual([4, 8, 16]);
    expect(measured(64)).toEqual([16, 32, 64]);
    expect(measured(2048)).toEqual([512, 1024, 2048]);
    expect(measured(null)).toEqual([1, 64, 65, 128, 129, 256, 257, 512, 513, 1024, 1025, 2048]);
  });
});

describe("the cost file", () => {
  test("returns the written samples, only for the same identity", async () => {
    await withEncoder(async (encoder) => {
      const identity = costIdentity(encoder, true);
      fc.assert(
        fc.property(arbitraryPoints, (points) => {
          expect(parseCosts(printCosts(identity, points), identity)).toEqual(points);
        }),
      );
      const text = printCosts(identity, [{ budget: 64, tokens: 1, durationMs: 1 }]);
      expect(parseCosts(text, { ...identity, fused: false })).toBeUndefined();
      expect(parseCosts(text, { ...identity, version: "0.0.0" })).toBeUndefined();
      const newDriver = { ...identity.device, facts: { driver: "13.1" } };
      expect(parseCosts(text, { ...identity, device: newDriver })).toBeUndefined();
      expect(costFile("d", { ...identity, device: newDriver })).not.toBe(costFile("d", identity));
    });
  });

  test("is ignored if it is damaged", async () => {
    await withEncoder(async (encoder) => {
      const identity = costIdentity(encoder, true);
      const whole = printCosts(identity, [{ budget: 64, tokens: 1, durationMs: 1 }]);
      const damaged = [
        "",
        "null",
        "[]",
        whole.slice(0, -10),
        printCosts(identity, []),
        printCosts(identity, [{ budget: 64, tokens: 1, durationMs: -1 }]),
        printCosts(identity, [{ budget: 0, tokens: 1, durationMs: 1 }]),
        printCosts(identity, [{ budget: null, tokens: 1.5, durationMs: 1 }]),
        whole.replace('"points": [', '"points": [7,'),
      ];
      for (const text of damaged) expect(parseCosts(text, identity)).toBeUndefined();
      await expect(readCosts(join(directory, "gone.json"), identity)).resolves.toBeUndefined();
    });
  });

  test("is written atomically, and its directory is created", async () => {
    await withEncoder(async (encoder) => {
      const identity = costIdentity(encoder, true);
      const points = [{ budget: 64, tokens: 1, durationMs: 1 }];
      const path = costFile(join(directory, "a", "b"), identity);
      await Promise.all([writeCosts(path, identity, points), writeCosts(path, identity, points)]);
      expect(await readCosts(path, identity)).toEqual(points);
    });
  });
});

test("measurements are not counted in statistics", async () => {
  await using engine = await EncoderEngine.create({
    model,
    devices: [() => createNullDevice()],
    compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16, 64] },
    costs: "measure",
    costDirectory: "",
  });
  expect(engine.stats()).toMatchObject({ batches: 0, graphHits: 0, gridCache: { hits: 0, misses: 0 } });
});

test("an engine measures once, and reads the cost file at the next start", async () => {
  const costDirectory = join(directory, "costs");
  const submissionsOf = async () => {
    const device = createNullDevice();
    const engine = await EncoderEngine.create({
      model,
      devices: [() => device],
      compilationConfig: { cudagraph_mm_encoder: true, encoder_cudagraph_token_budgets: [16, 64] },
      costs: "measure",
      costDirectory,
      // Fills of the grid cache would count as submissions.
      gridCacheBytes: 0,
    });
    expect(engine.stats()).toMatchObject({ batches: 0, graphHits: 0 });
    await engine.close();
    return device.submissions.length;
  };
  // Two budgets at three fill ratios, and two sizes of the eager program, in four rounds.
  expect(await submissionsOf()).toBe(32);
  expect(await submissionsOf()).toBe(0);
});

test("an engine starts even if the cost file cannot be written", async () => {
  const file = join(directory, "a-file");
  await writeFile(file, "");
  const engine = await EncoderEngine.create({
    model,
    devices: [() => createNullDevice()],
    costs: "measure",
    costDirectory: join(file, "below"),
  });
  expect(engine.state).toBe("ready");
  await engine.close();
});
