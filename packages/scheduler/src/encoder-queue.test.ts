import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import {
  EncoderQueue,
  type EncoderQueueOptions,
  type Packable,
  packByCost,
  packGreedyAscending,
  type SubmitOptions,
} from "./index.js";
import { VirtualClock } from "./testing.js";

interface Item extends Packable {
  readonly name: string;
}

type Options = EncoderQueueOptions<Item, string>;
type Batch = Parameters<Options["run"]>[0];

const namesOf = ({ items }: Batch): string[] => items.map(({ item }) => item.name);

/** A queue whose batches take `runMs` and answer each name in capitals; what ran is in `batches`. */
function setUp({
  runMs = 10,
  windowMs = 0,
  ...options
}: Partial<Options> & { runMs?: number; windowMs?: number } = {}) {
  const clock = new VirtualClock();
  const batches: { at: number; names: string[]; batch: Batch }[] = [];
  const limits = { tokenBudgets: [16, 64], maxItems: 4 };
  const queue = new EncoderQueue<Item, string>({
    limits,
    pack: (items) => packGreedyAscending(items, limits),
    clock,
    maxInFlight: 2,
    agingMs: 1000,
    run: async (batch) => {
      batches.push({ at: clock.now(), names: namesOf(batch), batch });
      await clock.sleep(runMs);
      return namesOf(batch).map((name) => ({ status: "fulfilled", value: name.toUpperCase() }));
    },
    ...options,
  });
  const submit = (name: string, outputTokens: number, own: Partial<SubmitOptions> = {}): Promise<string> =>
    queue.submit(
      { name, spec: { inputSize: 4 * outputTokens, outputTokens } },
      { priority: 0, caller: Symbol(), windowMs, signal: new AbortController().signal, ...own },
    );
  const departures = (): [number, string][] => batches.map(({ at, names }) => [at, names.join("")]);
  return { clock, queue, submit, batches, departures };
}

/** A promise's outcome: its value, or its error as text. */
const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch(String);

describe("EncoderQueue: when batches leave", () => {
  it("lets items of the same turn share a batch without any window", async () => {
    const { clock, submit, departures } = setUp();
    const results = [submit("a", 4), submit("b", 4)];
    await clock.runAll();
    expect(departures()).toEqual([[0, "ab"]]);
    expect(await Promise.all(results)).toEqual(["A", "B"]);
  });

  it("waits for the window, counted from the first arrival", async () => {
    const { clock, submit, departures, batches } = setUp({ windowMs: 5 });
    void submit("a", 4);
    await clock.advance(3);
    void submit("b", 4);
    await clock.advance(3);
    void submit("c", 4);
    await clock.runAll();
    expect(departures()).toEqual([
      [5, "ab"],
      [11, "c"],
    ]);
    expect(batches[0]!.batch).toMatchObject({ budget: 16, tokens: 8, inputSize: 32, frames: 2 });
    expect(batches[0]!.batch.items.map(({ arrivedAt }) => arrivedAt)).toEqual([0, 3]);
  });

  it("does not wait for the window once the items fill a batch", async () => {
    const { clock, submit, departures } = setUp({ windowMs: 50 });
    for (const name of "abcd") void submit(name, 4);
    await clock.advance(0);
    expect(departures()).toEqual([[0, "abcd"]]);
    await clock.runAll();
  });

  it("does not wait for the window once the tokens fill the largest budget", async () => {
    const { clock, submit, departures } = setUp({ windowMs: 50 });
    void submit("a", 40);
    void submit("b", 24);
    await clock.advance(0);
    expect(departures()).toEqual([[0, "ba"]]);
    await clock.runAll();
  });

  it("keeps two batches in flight, and the rest waiting", async () => {
    const { clock, queue, submit, departures } = setUp({ runMs: 10 });
    for (const name of "abc") void submit(name, 64);
    await clock.advance(0);
    expect([queue.batchesInFlight, queue.size]).toEqual([2, 1]);
    await clock.runAll();
    expect(departures()).toEqual([
      [0, "a"],
      [0, "b"],
      [10, "c"],
    ]);
    expect([queue.batchesInFlight, queue.size]).toEqual([0, 0]);
  });

  it("waits for more items while the devices are busy, the less the more tokens wait", async () => {
    const asked: number[] = [];
    // Busy until 20, and each token takes a millisecond to prepare.
    const { clock, submit, departures } = setUp({
      slackMs: (tokens) => {
        asked.push(tokens);
        return Math.max(0, 20 - tokens - clock.now());
      },
    });
    void submit("a", 4);
    await clock.advance(5);
    void submit("b", 6);
    await clock.advance(4);
    expect(departures()).toEqual([]);
    await clock.advance(1);
    expect(departures()).toEqual([[10, "ab"]]);
    expect(asked).toEqual([4, 10, 10]);
    await clock.runAll();
  });

  it("waits with a full batch, too", async () => {
    const { clock, queue, submit, departures } = setUp({ slackMs: () => Math.max(0, 7 - clock.now()) });
    for (const name of "abcde") void submit(name, 4);
    const drained = queue.drain();
    await clock.runAll();
    await drained;
    expect(departures()).toEqual([
      [7, "abcd"],
      [7, "e"],
    ]);
  });

  it("runs an item above every budget eagerly", async () => {
    const { clock, submit, batches } = setUp();
    void submit("a", 100);
    await clock.runAll();
    expect(batches[0]!.batch.budget).toBeNull();
  });

  it("packs by the rule that it was given", async () => {
    const { clock, submit, departures } = setUp({
      pack: (items) =>
        packByCost(items, { tokenBudgets: [16, 64], maxItems: 4 }, (_, budget) => (budget === 16 ? 1 : 100)),
    });
    for (const name of "abcd") void submit(name, 8);
    await clock.runAll();
    expect(departures().map(([, names]) => names.length)).toEqual([2, 2]);
  });
});

describe("EncoderQueue: failures", () => {
  it("fails only the item that failed", async () => {
    const { clock, submit } = setUp({
      run: async (batch) =>
        namesOf(batch).map((name) =>
          name === "b"
            ? { status: "rejected", reason: new Error("b is broken") }
            : { status: "fulfilled", value: name },
        ),
    });
    const results = ["a", "b", "c"].map((name) => outcome(submit(name, 4)));
    await clock.runAll();
    expect(await Promise.all(results)).toEqual(["a", "Error: b is broken", "c"]);
  });

  it.each<[string, Options["run"]]>([
    ["rejects", () => Promise.reject(new Error("device lost"))],
    [
      "throws",
      () => {
        throw new Error("device lost");
      },
    ],
  ])("fails the whole batch where run %s, and goes on", async (_, run) => {
    let calls = 0;
    const { clock, submit } = setUp({
      run: (batch) =>
        calls++ === 0
          ? run(batch)
          : Promise.resolve(namesOf(batch).map((name) => ({ status: "fulfilled", value: name }))),
    });
    const first = ["a", "b"].map((name) => outcome(submit(name, 4)));
    await clock.runAll();
    expect(await Promise.all(first)).toEqual(["Error: device lost", "Error: device lost"]);
    const second = submit("c", 4);
    await clock.runAll();
    expect(await second).toBe("c");
  });

  it.each<[string, Options["pack"], string]>([
    [
      "throws",
      () => {
        throw new Error("no idea");
      },
      "Error: no idea",
    ],
    [
      "leaves the first item out",
      () => [],
      "VitgraphError: the packing rule left the first item out: return batches that hold every item once",
    ],
  ])("rejects the items where the packing rule %s", async (_, pack, expected) => {
    const { clock, queue, submit } = setUp({ pack: pack! });
    const results = ["a", "b"].map((name) => outcome(submit(name, 4)));
    await clock.runAll();
    expect(await Promise.all(results)).toEqual([expected, expected]);
    expect([queue.size, clock.pendingTimers]).toEqual([0, 0]);
  });
});

describe("EncoderQueue: maxInFlight that changes", () => {
  it("holds what it has at 0, and sends it off when there is room again", async () => {
    const { clock, queue, submit, departures } = setUp({ maxInFlight: 1 });
    queue.maxInFlight = 0;
    const results = ["a", "b"].map((name) => submit(name, 64));
    await clock.advance(5);
    expect(departures()).toEqual([]);
    expect(queue.size).toBe(2);
    queue.maxInFlight = 2;
    await clock.runAll();
    expect(departures()).toEqual([
      [5, "a"],
      [5, "b"],
    ]);
    expect(await Promise.all(results)).toEqual(["A", "B"]);
  });
});

describe("EncoderQueue: priorities", () => {
  it("sends lower numbers first, and equal ones as they came", async () => {
    const { clock, submit, departures } = setUp({ maxInFlight: 1 });
    void submit("x", 64);
    await clock.advance(0);
    void submit("a", 64, { priority: 1 });
    void submit("b", 64);
    void submit("c", 64, { priority: -1 });
    void submit("d", 64);
    await clock.runAll();
    expect(
      departures()
        .map(([, names]) => names)
        .join(""),
    ).toBe("xcbda");
  });

  it("lets waiting outweigh priority in the end", async () => {
    const { clock, submit, departures } = setUp({ maxInFlight: 1, runMs: 10, agingMs: 20 });
    void submit("x", 64);
    await clock.advance(0);
    void submit("low", 64, { priority: 2 });
    // A stream of items that would each go first, twice as fast as they can be served.
    for (let i = 0; i < 20; i++) {
      void submit(".", 64);
      await clock.advance(5);
    }
    await clock.runAll();
    const order = departures().map(([, names]) => names);
    // After 40 ms it is level with the others that have waited for less than 20 ms, and it came before them.
    expect(order.indexOf("low")).toBe(6);
  });
});

describe("EncoderQueue: callers", () => {
  it("serves a caller that comes late in its turn, not behind another's backlog", async () => {
    const { clock, submit, departures } = setUp({ maxInFlight: 1 });
    for (let i = 0; i < 10; i++) void submit("f", 64, { caller: "flood" });
    await clock.advance(5);
    void submit("s", 64, { caller: "small" });
    await clock.runAll();
    const order = departures().map(([, names]) => names);
    // The first was running. Both have had as much when the second is due, and it came first.
    expect(order.indexOf("s")).toBeLessThanOrEqual(2);
    expect(order).toHaveLength(11);
  });

  it("does not hold an item that has no time to wait for others", async () => {
    const { clock, submit, departures } = setUp({ windowMs: 50 });
    const result = submit("a", 4, { windowMs: 0 });
    await clock.runAll();
    expect(departures()).toEqual([[0, "a"]]);
    expect(await result).toBe("A");
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("EncoderQueue: cancelling", () => {
  it("rejects an item whose signal has aborted", async () => {
    const { queue, submit } = setUp();
    const signal = AbortSignal.abort(new Error("caller gone"));
    expect(await outcome(submit("a", 4, { signal }))).toBe("Error: caller gone");
    expect(queue.size).toBe(0);
  });

  it("removes a waiting item at once, with the signal's reason", async () => {
    const { clock, queue, submit, departures } = setUp({ windowMs: 50 });
    const caller = new AbortController();
    const cancelled = outcome(submit("a", 4, { signal: caller.signal }));
    await clock.advance(1);
    caller.abort(new Error("caller gone"));
    expect(queue.size).toBe(0);
    expect(await cancelled).toBe("Error: caller gone");
    void submit("b", 4);
    await clock.runAll();
    expect(departures()).toEqual([[51, "b"]]);
  });

  it("ends a running item with its batch", async () => {
    const { clock, queue, submit } = setUp({ runMs: 100 });
    const caller = new AbortController();
    const results = [submit("a", 4, { signal: caller.signal }), submit("b", 4)];
    await clock.advance(10);
    caller.abort();
    expect(queue.batchesInFlight).toBe(1);
    await clock.runAll();
    expect(await Promise.all(results)).toEqual(["A", "B"]);
    expect(queue.batchesInFlight).toBe(0);
  });

  it("listens once to a signal that many items share", async () => {
    const { clock, submit } = setUp({ maxInFlight: 0 });
    const caller = new AbortController();
    const { signal } = caller;
    const results = Array.from({ length: 30 }, (_, i) => outcome(submit(`${i}`, 4, { signal })));
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await clock.advance(5);
    caller.abort(new Error("caller gone"));
    expect(await Promise.all(results)).toEqual(results.map(() => "Error: caller gone"));
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await clock.runAll();
  });

  it("leaves no listener and no timer behind", async () => {
    const { clock, submit } = setUp({ windowMs: 5 });
    const caller = new AbortController();
    const result = submit("a", 4, { signal: caller.signal });
    expect(getEventListeners(caller.signal, "abort")).toHaveLength(1);
    await clock.advance(50);
    await result;
    expect(getEventListeners(caller.signal, "abort")).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("EncoderQueue: the end", () => {
  it("drains without waiting for windows, and goes on afterwards", async () => {
    const { clock, queue, submit, departures } = setUp({ windowMs: 1000, runMs: 10 });
    void submit("a", 4);
    await clock.advance(1);
    let drained = false;
    void queue.drain().then(() => {
      drained = true;
    });
    await clock.advance(9);
    expect(drained).toBe(false);
    await clock.advance(1);
    expect(drained).toBe(true);
    void submit("b", 4);
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
    const { clock, queue, submit } = setUp({ maxInFlight: 1, runMs: 10 });
    void submit("x", 64);
    await clock.advance(0);
    const caller = new AbortController();
    const cancelled = outcome(submit("a", 4, { signal: caller.signal }));
    const drained = queue.drain();
    caller.abort(new Error("caller gone"));
    await clock.runAll();
    await drained;
    expect(await cancelled).toBe("Error: caller gone");
  });
});
