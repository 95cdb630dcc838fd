import { expect, test } from "vitest";
import { graphStatistics, StatsCounter } from "./stats.js";

test("hits and misses count items; padding goes by budget and over all of them", () => {
  const counter = new StatsCounter([64, 256], []);
  counter.batch(2, 48, 64);
  counter.batch(1, 64, 64);
  counter.batch(4, 256, 256);
  counter.batch(3, 16, null);
  expect(counter.snapshot()).toMatchObject({ batches: 4, padding: 1 - (48 + 64 + 256) / (64 + 64 + 256) });
  expect(graphStatistics(counter.snapshot())).toEqual({
    graphHits: 7,
    graphMisses: 3,
    hitRate: 0.7,
    numBudgets: 2,
    tokenBudgets: [64, 256],
    paddingByBudget: { 64: 0.125, 256: 0 },
  });
});

test("before the first item the hit rate is 0", () => {
  const stats = new StatsCounter([], []).snapshot();
  expect(stats).toMatchObject({
    graphHits: 0,
    hitRate: 0,
    numBudgets: 0,
    padding: 0,
    paddingByBudget: {},
  });
});
