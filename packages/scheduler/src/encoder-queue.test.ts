import { getEventListeners } from "node:events";
import { VitgraphError } from "@vitgraph/errors";
import { describe, expect, it } from "vitest";
import {
  EncoderQueue,
  type EncoderQueueOptions,
  type ItemSpec,
  packByCost,
  type QueueBatch,
} from "./index.js";
import { VirtualClock } from "./testing.js";

const item = (outputTokens: number): ItemSpec => ({ inputSize: 4 * outputTokens, outputTokens });

/** A queue whose batches take `runMs` and answer each payload in capitals; what ran is in `batches`. */
function setUp({
  runMs = 10,
  ...options
}: Partial<EncoderQueueOptions<string, string>> & { runMs?: number } = {}) {
  const clock = new VirtualClock();
  const batches: { at: number; payloads: string[]; batch: QueueBatch<string> }[] = [];
  const queue = new EncoderQueue<string, string>({
    limits: { tokenBudgets: [16, 64], maxItems: 4 },
    clock,
    run: async (batch) => {
      batches.push({ at: clock.now(), payloads: batch.items.map(({ payload }) => payload), batch });
      await clock.sleep(runMs);
      return batch.items.map(({ payload }) => ({ status: "fulfilled", value: payload.toUpperCase() }));
    },
    ...options,
  });
  const departures = (): [number, string][] => batches.map(({ at, payloads }) => [at, payloads.join("")]);
  return { clock, queue, batches, departures };
}

/** What became of a promise: its value, or its error's code or text. */
const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error) => (VitgraphError.is(error) ? error.code : String(error)));

describe("EncoderQueue: when batches leave", () => {
  it("lets items of the same turn share a batch without any window", async () => {
    const { clock, queue, departures } = setUp();
    const results = [queue.submit("a", item(4)), queue.submit("b", item(4))];
    await clock.runAll();
    expect(departures()).toEqual([[0, "ab"]]);
    expect(await Promise.all(results)).toEqual(["A", "B"]);
  });

  it("waits for the window, counted from the first arrival", async () => {
    const { clock, queue, departures, batches } = setUp({ windowMs: 5 });
    void queue.submit("a", item(4));
    await clock.advance(3);
    void queue.submit("b", item(4));
    await clock.advance(3);
    void queue.submit("c", item(4));
    await clock.runAll();
    expect(departures()).toEqual([
      [5, "ab"],
      [11, "c"],
    ]);
    expect(batches[0]!.batch).toMatchObject({ budget: 16, outputTokens: 8, inputSize: 32, frames: 2 });
    expect(batches[0]!.batch.items.map(({ waitedMs }) => waitedMs)).toEqual([5, 2]);
  });

  it("does not wait for the window once the items fill a batch", async () => {
    const { clock, queue, departures } = setUp({ windowMs: 50 });
    for (const name of "abcd") void queue.submit(name, item(4));
    await clock.advance(0);
    expect(departures()).toEqual([[0, "abcd"]]);
    await clock.runAll();
  });

  it("does not wait for the window once the tokens fill the largest budget", async () => {
    const { clock, queue, departures } = setUp({ windowMs: 50 });
    void queue.submit("a", item(40));
    void queue.submit("b", item(24));
    await clock.advance(0);
    expect(departures()).toEqual([[0, "ba"]]);
    await clock.runAll();
  });

  it("keeps two batches in flight, and the rest waiting", async () => {
    const { clock, queue, departures } = setUp({ runMs: 10 });
    for (const name of "abc") void queue.submit(name, item(64));
    await clock.advance(0);
    expect([queue.batchesInFlight, queue.queuedItems, queue.queuedTokens]).toEqual([2, 1, 64]);
    await clock.runAll();
    expect(departures()).toEqual([
      [0, "a"],
      [0, "b"],
      [10, "c"],
    ]);
    expect([queue.batchesInFlight, queue.queuedItems, queue.queuedTokens]).toEqual([0, 0, 0]);
  });

  it("runs an item above every budget eagerly", async () => {
    const { clock, queue, batches } = setUp();
    void queue.submit("a", item(100));
    await clock.runAll();
    expect(batches[0]!.batch.budget).toBeNull();
  });

  it("packs by the rule that it was given", async () => {
    const { clock, queue, departures } = setUp({
      pack: (items, limits) => packByCost(items, limits, (_, budget) => (budget === 16 ? 1 : 100)),
    });
    for (const name of "abcd") void queue.submit(name, item(8));
    await clock.runAll();
    expect(departures().map(([, payloads]) => payloads.length)).toEqual([2, 2]);
  });

  it("works on the machine's clock", async () => {
    const queue = new EncoderQueue<number, number>({
      limits: { tokenBudgets: [64], maxItems: 8 },
      windowMs: 1,
      run: async ({ items }) => items.map(({ payload }) => ({ status: "fulfilled", value: payload * 2 })),
    });
    expect(await Promise.all([queue.submit(1, item(4)), queue.submit(2, item(4))])).toEqual([2, 4]);
    await queue.close();
  });
});

describe("EncoderQueue: failures", () => {
  it("fails only the item that failed", async () => {
    const { clock, queue } = setUp({
      run: async ({ items }) =>
        items.map(({ payload }) =>
          payload === "b"
            ? { status: "rejected", reason: new Error("b is broken") }
            : { status: "fulfilled", value: payload },
        ),
    });
    const results = ["a", "b", "c"].map((name) => outcome(queue.submit(name, item(4))));
    await clock.runAll();
    expect(await Promise.all(results)).toEqual(["a", "Error: b is broken", "c"]);
  });

  it.each<[string, EncoderQueueOptions<string, string>["run"]]>([
    ["rejects", () => Promise.reject(new Error("device lost"))],
    [
      "throws",
      () => {
        throw new Error("device lost");
      },
    ],
  ])("fails the whole batch where run %s, and goes on", async (_, run) => {
    let calls = 0;
    const { clock, queue } = setUp({
      run: (batch) =>
        calls++ === 0
          ? run(batch)
          : Promise.resolve(batch.items.map(({ payload }) => ({ status: "fulfilled", value: payload }))),
    });
    const first = ["a", "b"].map((name) => outcome(queue.submit(name, item(4))));
    await clock.runAll();
    expect(await Promise.all(first)).toEqual(["Error: device lost", "Error: device lost"]);
    const second = queue.submit("c", item(4));
    await clock.runAll();
    expect(await second).toBe("c");
  });

  it.each<[string, unknown]>([
    ["too few outcomes", [{ status: "fulfilled", value: "a" }]],
    ["bare values", ["a", "b"]],
    ["nothing", undefined],
  ])("says so where run returns %s", async (_, outcomes) => {
    const { clock, queue } = setUp({ run: async () => outcomes as never });
    const results = ["a", "b"].map((name) =>
      queue.submit(name, item(4)).catch((error: Error) => error.message),
    );
    await clock.runAll();
    const text = "the run function did not answer for each of 2 items: return one settled result an item";
    expect(await Promise.all(results)).toEqual([text, text]);
  });

  it.each<[string, EncoderQueueOptions<string, string>["pack"], string]>([
    [
      "throws",
      () => {
        throw new Error("no idea");
      },
      "Error: no idea",
    ],
    ["leaves the first item out", () => [], "VG_INTERNAL"],
    [
      "names an item twice",
      () => [{ items: [0, 0], inputSize: 1, outputTokens: 1, frames: 1, budget: null }],
      "VG_INTERNAL",
    ],
  ])("rejects the items where the packing rule %s", async (_, pack, expected) => {
    const { clock, queue } = setUp({ pack: pack! });
    const results = ["a", "b"].map((name) => outcome(queue.submit(name, item(4))));
    await clock.runAll();
    expect(await Promise.all(results)).toEqual([expected, expected]);
    expect([queue.queuedItems, queue.queuedTokens, clock.pendingTimers]).toEqual([0, 0, 0]);
  });
});

describe("EncoderQueue: arguments", () => {
  it.each<[string, Partial<EncoderQueueOptions<string, string>>, string]>([
    ["windowMs", { windowMs: -1 }, "windowMs -1 is out of range: give a number of at least 0"],
    [
      "agingMs",
      { agingMs: Number.POSITIVE_INFINITY },
      "agingMs Infinity is out of range: give a number of at least 1",
    ],
    ["maxInFlight", { maxInFlight: 0 }, "maxInFlight 0 is out of range: give a number of at least 1"],
    [
      "limits",
      { limits: { tokenBudgets: [0], maxItems: 1 } },
      "token budget 0 is not a positive integer: give a whole number of at least 1",
    ],
  ])("refuses %s that mean nothing", (_, options, message) => {
    expect(() => setUp(options)).toThrow(expect.objectContaining({ code: "VG_ARGUMENT_INVALID", message }));
  });

  it("refuses items and options that mean nothing", async () => {
    const { queue } = setUp();
    expect(await outcome(queue.submit("a", item(0)))).toBe("VG_ITEM_INVALID");
    expect(await outcome(queue.submit("a", item(1), { priority: Number.NaN }))).toBe("VG_ARGUMENT_INVALID");
    expect(await outcome(queue.submit("a", item(1), { windowMs: Number.NaN }))).toBe("VG_ARGUMENT_INVALID");
    expect(queue.queuedItems).toBe(0);
  });
});

describe("EncoderQueue: maxInFlight that changes", () => {
  it("holds what it has at 0, and sends it off when there is room again", async () => {
    const { clock, queue, departures } = setUp({ maxInFlight: 1 });
    queue.maxInFlight = 0;
    const results = ["a", "b"].map((name) => queue.submit(name, item(64)));
    await clock.advance(5);
    expect(departures()).toEqual([]);
    expect(queue.queuedItems).toBe(2);
    queue.maxInFlight = 2;
    await clock.runAll();
    expect(departures()).toEqual([
      [5, "a"],
      [5, "b"],
    ]);
    expect(await Promise.all(results)).toEqual(["A", "B"]);
  });

  it("refuses a number below 0", () => {
    const { queue } = setUp();
    expect(() => {
      queue.maxInFlight = -1;
    }).toThrow("maxInFlight -1 is out of range: give a number of at least 0");
    expect(queue.maxInFlight).toBe(2);
  });
});

describe("EncoderQueue: priorities", () => {
  it("sends lower numbers first, and equal ones as they came", async () => {
    const { clock, queue, departures } = setUp({ maxInFlight: 1 });
    void queue.submit("x", item(64));
    await clock.advance(0);
    void queue.submit("a", item(64), { priority: 1 });
    void queue.submit("b", item(64));
    void queue.submit("c", item(64), { priority: -1 });
    void queue.submit("d", item(64));
    await clock.runAll();
    expect(
      departures()
        .map(([, payloads]) => payloads)
        .join(""),
    ).toBe("xcbda");
  });

  it("lets waiting outweigh priority in the end", async () => {
    const { clock, queue, departures } = setUp({ maxInFlight: 1, runMs: 10, agingMs: 20 });
    void queue.submit("x", item(64));
    await clock.advance(0);
    void queue.submit("low", item(64), { priority: 2 });
    // A stream of items that would each go first, twice as fast as they can be served.
    for (let i = 0; i < 20; i++) {
      void queue.submit(".", item(64));
      await clock.advance(5);
    }
    await clock.runAll();
    const order = departures().map(([, payloads]) => payloads);
    // After 40 ms it is level with the others that have waited for less than 20 ms, and it came before them.
    expect(order.indexOf("low")).toBe(6);
  });
});

describe("EncoderQueue: callers", () => {
  it("serves a caller that comes late in its turn, not behind another's backlog", async () => {
    const { clock, queue, departures } = setUp({ maxInFlight: 1 });
    for (let i = 0; i < 10; i++) void queue.submit("f", item(64), { caller: "flood" });
    await clock.advance(5);
    void queue.submit("s", item(64), { caller: "small" });
    await clock.runAll();
    const order = departures().map(([, payloads]) => payloads);
    // The first was running. Both have had as much when the second is due, and it came first.
    expect(order.indexOf("s")).toBeLessThanOrEqual(2);
    expect(order).toHaveLength(11);
  });

  it("does not hold an item that has no time to wait for others", async () => {
    const { clock, queue, departures } = setUp({ windowMs: 50 });
    const result = queue.submit("a", item(4), { windowMs: 0 });
    await clock.runAll();
    expect(departures()).toEqual([[0, "a"]]);
    expect(await result).toBe("A");
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("EncoderQueue: cancelling", () => {
  it("refuses an item whose signal has aborted", async () => {
    const { queue } = setUp();
    const reason = new Error("caller gone");
    await expect(queue.submit("a", item(4), { signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
      code: "VG_ABORTED",
      message: "the item was cancelled before it was queued",
      cause: reason,
    });
    expect(queue.queuedItems).toBe(0);
  });

  it("takes a waiting item back at once, and its room is free", async () => {
    const { clock, queue, departures } = setUp({ windowMs: 50 });
    const caller = new AbortController();
    const cancelled = queue
      .submit("a", item(4), { signal: caller.signal })
      .catch((error: Error) => error.message);
    await clock.advance(1);
    caller.abort();
    expect([queue.queuedItems, queue.queuedTokens]).toEqual([0, 0]);
    expect(await cancelled).toBe("the item was cancelled while it waited");
    void queue.submit("b", item(4));
    await clock.runAll();
    expect(departures()).toEqual([[51, "b"]]);
  });

  it("answers for a running item at once, and lets the others have their results", async () => {
    const { clock, queue } = setUp({ runMs: 100 });
    const caller = new AbortController();
    const cancelled = outcome(queue.submit("a", item(4), { signal: caller.signal }));
    const patient = queue.submit("b", item(4));
    await clock.advance(10);
    caller.abort();
    expect(await cancelled).toBe("VG_ABORTED");
    expect(queue.batchesInFlight).toBe(1);
    await clock.runAll();
    expect(await patient).toBe("B");
    expect(queue.batchesInFlight).toBe(0);
  });

  it("listens once to a signal that many items share", async () => {
    const { clock, queue } = setUp();
    const caller = new AbortController();
    const { signal } = caller;
    const results = Array.from({ length: 30 }, (_, i) => outcome(queue.submit(`${i}`, item(4), { signal })));
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await clock.advance(5);
    caller.abort();
    expect(await Promise.all(results)).toEqual(results.map(() => "VG_ABORTED"));
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await clock.runAll();
  });

  it("leaves no listener and no timer behind", async () => {
    const { clock, queue } = setUp({ windowMs: 5 });
    const caller = new AbortController();
    const result = queue.submit("a", item(4), { signal: caller.signal });
    expect(getEventListeners(caller.signal, "abort")).toHaveLength(1);
    await clock.advance(50);
    await result;
    expect(getEventListeners(caller.signal, "abort")).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("EncoderQueue: the end", () => {
  it("drains without waiting for windows, and goes on afterwards", async () => {
    const { clock, queue, departures } = setUp({ windowMs: 1000, runMs: 10 });
    void queue.submit("a", item(4));
    await clock.advance(1);
    let drained = false;
    void queue.drain().then(() => {
      drained = true;
    });
    await clock.advance(9);
    expect(drained).toBe(false);
    await clock.advance(1);
    expect(drained).toBe(true);
    void queue.submit("b", item(4));
    await clock.runAll();
    expect(departures()).toEqual([
      [1, "a"],
      [1011, "b"],
    ]);
  });

  it("drains at once when there is nothing", async () => {
    const { queue } = setUp();
    await queue.drain();
    expect(queue.batchesInFlight).toBe(0);
  });

  it("is drained when the last waiting item was cancelled", async () => {
    const { clock, queue } = setUp({ maxInFlight: 1, runMs: 10 });
    void queue.submit("x", item(64));
    await clock.advance(0);
    const caller = new AbortController();
    const cancelled = outcome(queue.submit("a", item(4), { signal: caller.signal }));
    const drained = queue.drain();
    caller.abort();
    await clock.runAll();
    await drained;
    expect(await cancelled).toBe("VG_ABORTED");
  });

  it("closes: takes no more, finishes what it has", async () => {
    const { clock, queue } = setUp({ windowMs: 1000 });
    const result = queue.submit("a", item(4));
    const closed = queue.close();
    await expect(queue.submit("b", item(4))).rejects.toMatchObject({
      code: "VG_CLOSED",
      message: "the queue is closed: submit to one that is open",
    });
    await clock.runAll();
    await closed;
    expect(await result).toBe("A");
  });

  it("closes at the end of its scope", async () => {
    const { clock, queue } = setUp();
    const result = queue.submit("a", item(4));
    const disposed = queue[Symbol.asyncDispose]();
    await clock.runAll();
    await disposed;
    expect(await result).toBe("A");
  });
});
