import type { BatchEvent } from "@vitgraph/core/observability";
import { expect, test } from "vitest";
import { RecentTraffic } from "./recent-traffic.js";

function batch(fields: Partial<BatchEvent> = {}): BatchEvent {
  return {
    index: 0,
    device: 0,
    items: 1,
    tokens: 16,
    budget: 64,
    padding: 0.75,
    itemTokens: [16],
    queueMs: [1],
    deviceMs: 2,
    wallMs: 3,
    outcome: "ok",
    ...fields,
  };
}

test("it keeps the last 64 batches, whatever came before", () => {
  const traffic = new RecentTraffic();
  for (let index = 0; index < 1000; index++) traffic.batchEnded(batch({ index }));
  const { batches, totals } = traffic.message(0);
  expect(batches.map(({ number }) => number)).toEqual(Array.from({ length: 64 }, (_, at) => 937 + at));
  expect(totals).toMatchObject({ batches: 1000, items: 1000, tokens: 16_000, budgetTokens: 64_000 });
  expect(traffic.message(998).batches.map(({ number }) => number)).toEqual([999, 1000]);
});

test("percentiles are those of the last 512 values", () => {
  const traffic = new RecentTraffic();
  expect(traffic.message(0).times).toEqual({ deviceMs: null, queueMs: null, callMs: null });
  for (let wallMs = 1; wallMs <= 1024; wallMs++) traffic.callEnded({ wallMs });
  expect(traffic.message(0).times.callMs).toEqual({ p50: 512 + 256, p99: 512 + 507 });
});

test("a failed batch is shown, and is no traffic to plan for", () => {
  const traffic = new RecentTraffic();
  traffic.batchEnded(batch({ outcome: "failed", deviceMs: 0 }));
  const { batches, totals, times } = traffic.message(0);
  expect(batches).toMatchObject([{ outcome: "failed" }]);
  expect(totals).toMatchObject({ batches: 1, items: 0, tokens: 0 });
  expect(times.deviceMs).toBeNull();
  expect(traffic.sizes()).toEqual([]);
});

test("an eager batch has no padding", () => {
  const traffic = new RecentTraffic();
  traffic.batchEnded(batch({ budget: null, tokens: 100, itemTokens: [100] }));
  traffic.batchEnded(batch());
  expect(traffic.message(0).totals).toMatchObject({ tokens: 116, budgetTokens: 64, budgetedTokens: 16 });
});

test("sizes are exact while few differ", () => {
  const traffic = new RecentTraffic();
  for (const tokens of [729, 16_383, 729]) traffic.batchEnded(batch({ itemTokens: [tokens] }));
  expect(traffic.sizes()).toEqual([
    { tokens: 729, weight: 2 },
    { tokens: 16_383, weight: 1 },
  ]);
});

test.each([16_384, 262_144])("of all sizes to %i there remain 640, rounded up by some percent", (most) => {
  const traffic = new RecentTraffic();
  const itemTokens = Array.from({ length: most }, (_, at) => at + 1);
  traffic.batchEnded(batch({ itemTokens }));
  const sizes = traffic.sizes();
  expect(sizes.length).toBeLessThanOrEqual(640);
  expect(sizes.reduce((sum, { weight }) => sum + weight, 0)).toBe(most);
  let before = 0;
  let rank = 0;
  for (const { tokens, weight } of sizes) {
    rank += weight;
    // No item is counted below its size, and none far above.
    expect(rank).toBeLessThanOrEqual(tokens);
    expect(tokens / (before + 1)).toBeLessThan(1.04);
    before = tokens;
  }
});
