/** The simulation of encode instances (benchmarks/instance-simulation.ts), where its parts could be wrong. */
import { type Grid, itemSpecOfGrid } from "@vitgraph/scheduler";
import { describe, expect, test } from "vitest";
import {
  batchMs,
  type DeviceCost,
  makeTrace,
  mean,
  meanShareMs,
  quantile,
  qwen3Vl8bOnH100,
  ROUTINGS,
  simulate,
} from "../benchmarks/instance-simulation.js";

const imageOf = (grid: Grid) => ({ grid, spec: itemSpecOfGrid(grid, 2) });
const images = (count: number, h: number, w = h) => Array<Grid>(count).fill({ t: 1, h, w }).map(imageOf);

// `vitgraph bench` at commit 5493486 on one H100. The model ignores how well a batch fills its budget, and attention is not quite
// quadratic.
test.each([
  { name: "1 × 224²", batch: images(1, 14), measuredMs: 1.522 },
  { name: "1 × 448²", batch: images(1, 28), measuredMs: 2.6 },
  { name: "1 × 1024²", batch: images(1, 64), measuredMs: 10.59 },
  { name: "8 × 320×352", batch: images(8, 20, 22), measuredMs: 6.793 },
  { name: "1 × 2048²", batch: images(1, 128), measuredMs: 85.65 },
  { name: "8 × 1280×960 + 3 × 1024²", batch: [...images(8, 60, 80), ...images(3, 64)], measuredMs: 132.8 },
])("the device's cost of $name is within 10 % of the measured one", ({ batch, measuredMs }) => {
  expect(Math.abs(batchMs(batch, qwen3Vl8bOnH100) / measuredMs - 1)).toBeLessThan(0.1);
});

test("a trace has the rate, the images a request and the bursts that were asked for", () => {
  const options = { seed: 3, requests: 20_000, requestsPerSecond: 50, imagesPerRequest: 3 };
  for (const burstSize of [1, 16]) {
    const trace = makeTrace({ ...options, burstSize });
    const seconds = trace.at(-1)!.arrivedAtMs / 1000;
    // 1250 bursts: a standard error of 3 %.
    expect(Math.abs(trace.length / seconds / 50 - 1)).toBeLessThan(0.09);
    expect(mean(trace.map((request) => request.images.length))).toBeCloseTo(3, 1);
    expect(new Set(trace.map(({ arrivedAtMs }) => arrivedAtMs)).size).toBe(20_000 / burstSize);
  }
});

/** One image a batch, each in the same time. */
const SERVICE_MS = 10;
const constantCost: DeviceCost = { tokensMs: () => SERVICE_MS, msPerToken: 0, attentionMs: () => 0 };
const oneByOne = { tokenBudgets: [16_384], maxItems: 1 };

// The tolerance is three standard errors of the mean wait of 40 000 arrivals (1.4, 1.7 and 3.2 % over 30 seeds, whose
// mean is within 0.3 % of the formula).
test.each([
  [0.3, 0.043],
  [0.6, 0.051],
  [0.8, 0.097],
])("one instance under load %d waits as long as an M/D/1 queue", async (load, tolerance) => {
  const requests = makeTrace({
    seed: 1,
    requests: 40_000,
    requestsPerSecond: (1000 * load) / SERVICE_MS,
    burstSize: 1,
    imagesPerRequest: 1,
  });
  const options = { instances: 1, cost: constantCost, requests, limits: oneByOne };
  const { latenciesMs, busy } = await simulate({ ...options, routing: "round-robin" });
  const waitMs = mean(latenciesMs) - SERVICE_MS;
  const formulaMs = (load * SERVICE_MS) / (2 * (1 - load));
  expect(Math.abs(waitMs / formulaMs - 1)).toBeLessThan(tolerance);
  expect(Math.abs(busy / load - 1)).toBeLessThan(0.02);

  // Lindley's recursion on the same arrivals has no random error.
  let freeAtMs = 0;
  const waitsMs = requests.map(({ arrivedAtMs }) => {
    const startsAtMs = Math.max(arrivedAtMs, freeAtMs);
    freeAtMs = startsAtMs + SERVICE_MS;
    return startsAtMs - arrivedAtMs;
  });
  expect(waitMs).toBeCloseTo(mean(waitsMs), 6);
});

describe.each([1, 16])("8 instances, bursts of %d requests", (burstSize) => {
  const traceOf = (seed: number) =>
    makeTrace({ seed, requests: 1500, requestsPerSecond: 200, burstSize, imagesPerRequest: 2 });
  const run = (seed: number, routing: (typeof ROUTINGS)[number]) =>
    simulate({ instances: 8, routing, cost: qwen3Vl8bOnH100, requests: traceOf(seed) });

  test("every image is answered, no request sooner than its images take alone", async () => {
    const trace = traceOf(1);
    for (const routing of ROUTINGS) {
      const { latenciesMs, imageLatenciesMs } = await run(1, routing);
      expect(imageLatenciesMs).toHaveLength(trace.reduce((sum, request) => sum + request.images.length, 0));
      expect(latenciesMs).toHaveLength(trace.length);
      for (const [index, { images }] of trace.entries())
        expect(latenciesMs[index]).toBeGreaterThanOrEqual(
          Math.max(...images.map((image) => batchMs([image], qwen3Vl8bOnH100))) - 1e-6,
        );
    }
  });

  test("routing by load has no longer mean latency than round-robin", async () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const roundRobin = mean((await run(seed, "round-robin")).imageLatenciesMs);
      for (const routing of ["least-loaded", "cost-aware"] as const)
        expect(mean((await run(seed, routing)).imageLatenciesMs)).toBeLessThanOrEqual(roundRobin);
    }
  });

  test("the same seed gives the same figures", async () => {
    expect(await run(2, "cost-aware")).toEqual(await run(2, "cost-aware"));
  });
});

test("round-robin deals images in turn: two instances without a queue share a request's two images", async () => {
  const requests = [{ arrivedAtMs: 0, images: images(2, 14) }];
  const options = { cost: constantCost, requests, limits: oneByOne };
  const run = (instances: number) => simulate({ ...options, instances, routing: "round-robin" });
  expect((await run(1)).latenciesMs).toEqual([2 * SERVICE_MS]);
  expect((await run(2)).latenciesMs).toEqual([SERVICE_MS]);
});

test("an image's mean share is below its cost alone", () => {
  const trace = makeTrace({
    seed: 1,
    requests: 1000,
    requestsPerSecond: 1,
    burstSize: 1,
    imagesPerRequest: 1,
  });
  const alone = mean(trace.map((request) => batchMs(request.images, qwen3Vl8bOnH100)));
  const share = meanShareMs(trace, qwen3Vl8bOnH100);
  expect(share).toBeLessThan(alone);
  expect(share).toBeGreaterThan(0.8 * alone);
});

test("a quantile is one of the numbers", () => {
  const numbers = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect([quantile(numbers, 0.5), quantile(numbers, 0.99), quantile(numbers, 1)]).toEqual([50, 99, 100]);
});
