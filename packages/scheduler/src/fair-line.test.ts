import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairLine } from "./fair-line.js";

interface Entry {
  readonly name: string;
  readonly caller: string;
  readonly priority: number;
  readonly cost: number;
}

const AGING_MS = 1000;

function setUp() {
  const line = new FairLine<Entry>(AGING_MS);
  const add = (caller: string, { cost = 1, priority = 0, now = 0, name = caller } = {}): Entry => {
    const entry = { name, caller, priority, cost };
    line.add(entry, now);
    return entry;
  };
  const serve = (now = 0): string | undefined => {
    const entry = line.head(now);
    if (entry !== undefined) line.take(entry, now);
    return entry?.name;
  };
  const serveAll = (now = 0): string => {
    let order = "";
    while (line.size > 0) order += serve(now);
    return order;
  };
  return { line, add, serve, serveAll };
}

describe("shares", () => {
  test("callers take turns, whatever their backlogs", () => {
    const { add, serveAll } = setUp();
    for (const caller of "aaaaabb") add(caller);
    expect(serveAll()).toBe("babaaaa");
  });

  test("a caller of small entries gets as much as one of large entries", () => {
    const { add, serveAll } = setUp();
    for (let i = 0; i < 3; i++) add("L", { cost: 4 });
    for (let i = 0; i < 12; i++) add("s");
    expect(serveAll()).toBe("LssssLssssLssss");
  });

  test("behind three callers that flood the line, a newcomer waits for at most two entries", () => {
    const { add, serve } = setUp();
    for (let i = 0; i < 100; i++) for (const caller of "abc") add(caller, { cost: 64 });
    for (let served = 0; served < 40; served++) {
      const newcomer = `n${served}`;
      add(newcomer, { cost: 1 });
      let waited = 0;
      while (serve() !== newcomer) waited += 1;
      expect(waited).toBeLessThanOrEqual(2);
      for (let i = 0; i <= served % 4; i++) serve();
    }
  });

  test("the head of a part of the line is the part's next by the same rules", () => {
    const { line, add } = setUp();
    for (const caller of "aab") add(caller, { cost: 4 });
    const small = [add("a"), add("b")];
    expect(line.head(0)?.name).toBe("b");
    expect(line.head(0, ({ cost }) => cost === 1)).toBe(small[1]);
    expect(line.head(0, () => false)).toBeUndefined();
  });

  test("an idle caller saves nothing up, and one that pauses does not lose its debt", () => {
    const { add, serve, serveAll } = setUp();
    for (let i = 0; i < 6; i++) add("a");
    for (let i = 0; i < 4; i++) serve();
    // It comes for the first time, level with the other.
    for (let i = 0; i < 3; i++) add("b");
    expect(serveAll()).toBe("ababb");
  });

  test("a stream of newcomers does not starve a caller with much to do", () => {
    const { add, serve } = setUp();
    for (let i = 0; i < 50; i++) add("big", { cost: 16 });
    let served = 0;
    for (let i = 0; i < 1000; i++) {
      add(`fresh ${i}`, { cost: 16 });
      if (serve() === "big") served += 1;
    }
    // Its share falls with the number of waiting callers, and stays above 0.
    expect(served).toBeGreaterThan(40);
  });

  test("entries that are taken back cost nothing", () => {
    const { line, add, serveAll } = setUp();
    const taken = [add("a", { cost: 100 }), add("a", { cost: 100 })];
    add("a", { name: "A" });
    add("b");
    for (const entry of taken) line.delete(entry);
    line.delete(taken[0] as Entry);
    expect(serveAll()).toBe("Ab");
  });
});

describe("priorities", () => {
  test("lower numbers go first, across callers and within one", () => {
    const { add, serveAll } = setUp();
    add("a", { name: "1", priority: 1 });
    add("a", { name: "0" });
    add("b", { name: "-", priority: -1 });
    expect(serveAll()).toBe("-01");
  });

  test("waiting makes up for priority, one step for each agingMs", () => {
    const { add, serve } = setUp();
    add("low", { priority: 2 });
    const order: (string | undefined)[] = [];
    for (let second = 0; second < 4; second++) {
      add(`${second}`, { now: second * AGING_MS });
      order.push(serve(second * AGING_MS));
    }
    expect(order).toEqual(["0", "1", "low", "2"]);
  });

  test("a backlog does not age while its caller is served", () => {
    const { add, serve } = setUp();
    for (let i = 0; i < 20; i++) add("flood", { cost: 10 });
    for (let i = 0; i < 10; i++) serve(i * AGING_MS);
    // The flood's entries came ten seconds ago.
    add("late", { now: 9 * AGING_MS });
    expect([serve(9 * AGING_MS), serve(9 * AGING_MS)]).toContain("late");
  });
});

test("first(n) is what n turns serve, and the line ends empty", () => {
  const entry = fc.record({
    caller: fc.constantFrom("a", "b", "c"),
    priority: fc.integer({ min: -1, max: 1 }),
    cost: fc.integer({ min: 1, max: 9 }),
    now: fc.integer({ min: 0, max: 5000 }),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), fc.integer({ min: 1, max: 30 }), (entries, count) => {
      const line = new FairLine<Entry>(AGING_MS);
      for (const { now, ...fields } of entries.toSorted((a, b) => a.now - b.now)) {
        line.add({ name: "", ...fields }, now);
      }
      const first = line.first(count, 5000);
      expect(first[0]).toBe(line.head(5000));
      expect(new Set(first).size).toBe(Math.min(count, entries.length));
      let left = entries.length;
      for (let head = line.head(5000); head !== undefined; head = line.head(5000)) {
        line.take(head, 5000);
        left -= 1;
      }
      expect([left, line.size]).toEqual([0, 0]);
    }),
  );
});
