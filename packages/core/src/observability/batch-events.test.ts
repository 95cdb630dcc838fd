import { expect, test, vi } from "vitest";
import { BatchEvents } from "./batch-events.js";
import type { BatchEvent } from "./observer.js";

const batch = (index: number): BatchEvent => ({
  index,
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
});

test("a listener hears of each batch until it leaves", () => {
  const events = new BatchEvents();
  const listener = vi.fn();
  const leave = events.subscribe(listener);
  events.batchEnded(batch(0));
  leave();
  events.batchEnded(batch(1));
  expect(listener.mock.calls).toEqual([[batch(0)]]);
});

test("a reader gets what came while it was busy, what comes while it waits, and the end", async () => {
  const events = new BatchEvents();
  const reader = events.read();
  events.batchEnded(batch(0));
  events.batchEnded(batch(1));
  setImmediate(() => {
    events.batchEnded(batch(2));
    events.stateChanged("draining");
    events.stateChanged("closed");
    events.batchEnded(batch(3));
  });
  const seen: number[] = [];
  for await (const { index } of reader) seen.push(index);
  expect(seen).toEqual([0, 1, 2]);
  expect(reader.dropped).toBe(0);
});

test("a reader that falls behind loses the oldest, and is told how many", async () => {
  const events = new BatchEvents();
  const slow = events.read({ capacity: 2 });
  const quick = events.read();
  for (let index = 0; index < 5; index++) events.batchEnded(batch(index));
  events.stateChanged("closed");
  const indices = async (reader: AsyncIterable<BatchEvent>) => {
    const seen: number[] = [];
    for await (const { index } of reader) seen.push(index);
    return seen;
  };
  expect(await indices(slow)).toEqual([3, 4]);
  expect(slow.dropped).toBe(3);
  expect(await indices(quick)).toEqual([0, 1, 2, 3, 4]);
});

test("leaving the loop ends the reader", async () => {
  const events = new BatchEvents();
  const reader = events.read();
  events.batchEnded(batch(0));
  events.batchEnded(batch(1));
  for await (const _ of reader) break;
  events.batchEnded(batch(2));
  expect(await reader.next()).toEqual({ done: true, value: undefined });
});

test("a signal ends the reading, now or before it began", async () => {
  const events = new BatchEvents();
  const controller = new AbortController();
  const waiting = events.read({ signal: controller.signal }).next();
  controller.abort();
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(await events.read({ signal: controller.signal }).next()).toEqual({ done: true, value: undefined });
});

test("several reads at once are answered in their order", async () => {
  const events = new BatchEvents();
  const reader = events.read();
  const both = [reader.next(), reader.next()];
  events.batchEnded(batch(0));
  events.batchEnded(batch(1));
  expect((await Promise.all(both)).map(({ value }) => value?.index)).toEqual([0, 1]);
});

test("a capacity that is none is refused", () => {
  expect(() => new BatchEvents().read({ capacity: 0 })).toThrowErrorMatchingInlineSnapshot(
    `[VitgraphError: the capacity of a reader of batch events is 0: give a positive whole number of events]`,
  );
});
