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

describe("EncoderQueue: limits", () => {
  it("refuses items above the limit, and takes them again when there is room", async () => {
    const { clock, queue } = setUp({ maxQueuedItems: 2, windowMs: 5 });
    void queue.submit("a", item(4));
    void queue.submit("b", item(4));
    await expect(queue.submit("c", item(4))).rejects.toMatchObject({
      code: "VG_QUEUE_FULL",
      message:
        "the queue holds 2 items of 8 tokens and has no room for 1 more of 4 (it takes 2 items, Infinity tokens): " +
        "try again later, or raise maxQueuedItems or maxQueuedTokens",
      details: { queuedItems: 2, maxQueuedItems: 2, items: 1 },
    });
    await clock.advance(5);
    const late = queue.submit("d", item(4));
    await clock.runAll();
    expect(await late).toBe("D");
  });

  it("refuses tokens above the limit", async () => {
    const { clock, queue } = setUp({ maxQueuedTokens: 10, windowMs: 5 });
    void queue.submit("a", item(8));
    expect(await outcome(queue.submit("b", item(3)))).toBe("VG_QUEUE_FULL");
    const fits = queue.submit("c", item(2));
    await clock.runAll();
    expect(await fits).toBe("C");
  });

  it("says apart what can never be queued", async () => {
    const { queue } = setUp({ maxQueuedTokens: 10 });
    await expect(queue.submit("a", item(11))).rejects.toMatchObject({
      code: "VG_ARGUMENT_INVALID",
      message:
        "1 items of 11 tokens are more than the queue ever holds (1024 items, 10 tokens): " +
        "submit fewer at once, or raise maxQueuedItems or maxQueuedTokens",
    });
  });

  it("admits all items of a request or none", async () => {
    const { clock, queue, departures } = setUp({ maxQueuedItems: 4, windowMs: 5 });
    const entries = (names: string) => [...names].map((payload) => ({ payload, spec: item(4) }));
    const first = queue.submitAll(entries("abc"));
    expect(await outcome(queue.submitAll(entries("de")))).toBe("VG_QUEUE_FULL");
    expect(queue.queuedItems).toBe(3);
    await clock.runAll();
    expect(departures()).toEqual([[5, "abc"]]);
    expect(await first).toEqual(["A", "B", "C"].map((value) => ({ status: "fulfilled", value })));
  });

  it("keeps the order of a request's results, whatever the batches", async () => {
    const { clock, queue, departures } = setUp();
    const sizes = [60, 4, 30, 4, 50];
    const results = queue.submitAll(sizes.map((size, i) => ({ payload: `${i}:${size} `, spec: item(size) })));
    await clock.runAll();
    expect(departures().length).toBeGreaterThan(1);
    expect((await results).map((result) => result.status === "fulfilled" && result.value)).toEqual(
      sizes.map((size, i) => `${i}:${size} `),
    );
  });

  it.each<[string, Partial<EncoderQueueOptions<string, string>>, string]>([
    ["windowMs", { windowMs: -1 }, "windowMs -1 is out of range: give a number of at least 0"],
    [
      "agingMs",
      { agingMs: Number.POSITIVE_INFINITY },
      "agingMs Infinity is out of range: give a number of at least 0",
    ],
    ["maxInFlight", { maxInFlight: 0 }, "maxInFlight 0 is out of range: give a number of at least 1"],
    [
      "maxQueuedItems",
      { maxQueuedItems: Number.NaN },
      "maxQueuedItems NaN is out of range: give a number of at least 1",
    ],
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
    expect(await outcome(queue.submit("a", item(1), { deadline: Number.NaN }))).toBe("VG_ARGUMENT_INVALID");
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
    // It stands as if it had come at 40 ms: behind the 8 that came before, and ahead of all later ones.
    expect(order.indexOf("low")).toBe(9);
  });
});

describe("EncoderQueue: deadlines", () => {
  it("answers at the deadline, and gives up the place", async () => {
    const { clock, queue, departures } = setUp({ maxInFlight: 1, runMs: 100, maxQueuedItems: 1 });
    void queue.submit("x", item(64));
    await clock.advance(0);
    const late = queue.submit("a", item(4), { deadline: 30 });
    late.catch(() => {});
    await clock.advance(30);
    await expect(late).rejects.toMatchObject({
      code: "VG_DEADLINE_EXCEEDED",
      message:
        "the item's deadline passed while it waited, 30 ms after it came: allow more time, or send less work",
      details: { deadline: 30, waitedMs: 30 },
    });
    expect(queue.queuedItems).toBe(0);
    void queue.submit("b", item(4));
    await clock.runAll();
    expect(departures().map(([, payloads]) => payloads)).toEqual(["x", "b"]);
  });

  it("answers at the deadline while the batch runs, and lets the others have their results", async () => {
    const { clock, queue, batches } = setUp({ runMs: 100 });
    const late = queue.submit("a", item(4), { deadline: 50 }).catch((error: Error) => error.message);
    const patient = queue.submit("b", item(4));
    await clock.advance(50);
    expect(await late).toBe(
      "the item's deadline passed while it ran, 50 ms after it came: allow more time, or send less work",
    );
    expect(batches[0]!.batch.signal.aborted).toBe(false);
    await clock.runAll();
    expect(await patient).toBe("B");
  });

  it("does not let an item wait out a window in which it would expire", async () => {
    const { clock, queue, departures } = setUp({ windowMs: 50 });
    const result = queue.submit("a", item(4), { deadline: 20 });
    await clock.runAll();
    expect(departures()).toEqual([[0, "a"]]);
    expect(await result).toBe("A");
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses an item whose deadline has passed", async () => {
    const { clock, queue } = setUp();
    await clock.advance(10);
    await expect(queue.submit("a", item(4), { deadline: 4 })).rejects.toMatchObject({
      code: "VG_DEADLINE_EXCEEDED",
      message: "the item's deadline had passed 6 ms before it came: allow more time, or send less work",
    });
  });

  it("takes no deadline and an infinite one as the same", async () => {
    const { clock, queue } = setUp();
    const result = queue.submit("a", item(4), { deadline: Number.POSITIVE_INFINITY });
    await clock.runAll();
    expect(await result).toBe("A");
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
    const { clock, queue, departures } = setUp({ windowMs: 50, maxQueuedItems: 1 });
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

  it("answers for a running item at once, and tells the batch when nobody waits for it", async () => {
    const { clock, queue, batches } = setUp({ runMs: 100 });
    const callers = [new AbortController(), new AbortController()];
    const results = callers.map(({ signal }, i) => outcome(queue.submit(`${i}`, item(4), { signal })));
    await clock.advance(10);
    const { signal } = batches[0]!.batch;
    callers[0]!.abort();
    expect(await results[0]).toBe("VG_ABORTED");
    expect(signal.aborted).toBe(false);
    callers[1]!.abort();
    expect(await results[1]).toBe("VG_ABORTED");
    expect(signal.aborted).toBe(true);
    expect(queue.batchesInFlight).toBe(1);
    await clock.runAll();
    expect(queue.batchesInFlight).toBe(0);
  });

  it("does not abort the signal of a batch that has ended", async () => {
    const { clock, queue, batches } = setUp();
    void queue.submit("a", item(4));
    await clock.runAll();
    expect(batches[0]!.batch.signal.aborted).toBe(false);
  });

  it("listens once to a signal that many items share", async () => {
    const { clock, queue } = setUp();
    const caller = new AbortController();
    const { signal } = caller;
    const entries = Array.from({ length: 30 }, (_, i) => ({ payload: `${i}`, spec: item(4) }));
    const results = queue.submitAll(entries, { signal });
    const single = outcome(queue.submit("a", item(4), { signal }));
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await clock.advance(5);
    caller.abort();
    expect((await results).map((result) => result.status === "rejected" && result.reason.code)).toEqual(
      entries.map(() => "VG_ABORTED"),
    );
    expect(await single).toBe("VG_ABORTED");
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await clock.runAll();
  });

  it("leaves no listener and no timer behind", async () => {
    const { clock, queue } = setUp({ windowMs: 5 });
    const caller = new AbortController();
    const result = queue.submit("a", item(4), { signal: caller.signal, deadline: 1000 });
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
    expect(queue.closed).toBe(false);
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
    expect(queue.closed).toBe(true);
  });

  it("aborts: rejects what waits and what runs, and tells the batches", async () => {
    const { clock, queue, batches } = setUp({ maxInFlight: 1, runMs: 100 });
    const running = outcome(queue.submit("x", item(64)));
    await clock.advance(1);
    const waiting = queue.submit("a", item(4), { deadline: 500 });
    waiting.catch(() => {});
    const reason = new Error("shutting down");
    const aborted = queue.abort(reason);
    expect(await running).toBe("VG_CLOSED");
    await expect(waiting).rejects.toMatchObject({
      code: "VG_CLOSED",
      message: "the queue was closed before the item was done: submit it to another queue",
      cause: reason,
    });
    expect(batches[0]!.batch.signal.aborted).toBe(true);
    await clock.runAll();
    await aborted;
    expect(departuresOf(batches)).toEqual(["x"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("closes at the end of its scope", async () => {
    const { clock, queue } = setUp();
    const result = queue.submit("a", item(4));
    const disposed = queue[Symbol.asyncDispose]();
    await clock.runAll();
    await disposed;
    expect(queue.closed).toBe(true);
    expect(await result).toBe("A");
  });
});

const departuresOf = (batches: readonly { payloads: string[] }[]): string[] =>
  batches.map(({ payloads }) => payloads.join(""));
