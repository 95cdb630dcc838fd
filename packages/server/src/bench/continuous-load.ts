/**
 * An engine under continuous load: callers that each send their next call as soon as the last is answered. What it takes
 * by the wall is held against what the device itself took: the rest is what the engine loses.
 */
import type { BatchEvent, EncoderEngine, EncoderItem } from "@vitgraph/core";

export interface LoadOptions {
  /** Calls under way at a time. */
  readonly callers: number;
  /** Calls that count, after as many as there are callers that fill the pipe. The load lasts until the last of them. */
  readonly calls: number;
  /** Hears of every call that is done, those that fill the pipe too. */
  readonly onCall?: (done: number, total: number) => void;
}

export interface MeasuredLoad {
  readonly callers: number;
  readonly calls: number;
  /** All calls together. */
  readonly wallMs: number;
  /** The device's own measure, summed over the batches of that time. */
  readonly deviceMs: number;
  readonly batches: number;
  readonly items: number;
  readonly tokens: number;
  /** Share of the replayed budgets' tokens that no item filled. */
  readonly waste: number;
}

/** @param itemsOf the items of each call, by its number. @throws what the first item that failed failed with */
export async function measureLoad(
  engine: EncoderEngine,
  itemsOf: (call: number) => readonly EncoderItem[],
  { callers, calls, onCall }: LoadOptions,
): Promise<MeasuredLoad> {
  const total = callers + calls;
  const batches: BatchEvent[] = [];
  const unsubscribe = engine.subscribe({ batchEnded: (batch) => batches.push(batch) });
  let begun = 0;
  let done = 0;
  let startedAt = 0;
  let endedAt = 0;
  let batchesBefore = 0;
  let batchesAfter = 0;
  const call = async () => {
    while (done < total) {
      const outcomes = await engine.encode(itemsOf(begun++));
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
      done += 1;
      if (done <= total) onCall?.(done, total);
      if (done === callers) {
        startedAt = performance.now();
        batchesBefore = batches.length;
      }
      if (done === total) {
        endedAt = performance.now();
        batchesAfter = batches.length;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: callers }, call));
  } finally {
    unsubscribe();
  }
  const wallMs = endedAt - startedAt;
  const counted = batches.slice(batchesBefore, batchesAfter);
  const sum = (of: (batch: BatchEvent) => number) => counted.reduce((all, batch) => all + of(batch), 0);
  const capacity = sum(({ budget }) => budget ?? 0);
  return {
    callers,
    calls,
    wallMs,
    deviceMs: sum(({ replayMs }) => replayMs),
    batches: counted.length,
    items: sum(({ items }) => items),
    tokens: sum(({ tokens }) => tokens),
    waste: capacity === 0 ? 0 : 1 - sum(({ budget, tokens }) => (budget === null ? 0 : tokens)) / capacity,
  };
}
