import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Admission, type Reservation } from "./admission.js";

const FULL = expect.objectContaining({ code: "VG_QUEUE_FULL" });

describe("a full queue", () => {
  test("accepts items within a caller's share, and no more", () => {
    const admission = new Admission({ maxQueuedItems: 12, maxQueuedTokens: 1000 });
    for (const caller of ["a", "b", "c"]) admission.reserve(4, caller);
    // Four callers with a share of three items each.
    expect(() => admission.reserve(4, "d")).toThrow(FULL);
    admission.reserve(2, "d");
    admission.reserve(1, "d");
    expect(() => admission.reserve(1, "d")).toThrow(FULL);
    expect(() => admission.reserve(1, "a")).toThrow(FULL);
    expect(admission.items).toBe(15);
  });

  test("counts tokens in shares too", () => {
    const admission = new Admission({ maxQueuedItems: 100, maxQueuedTokens: 90 });
    const count = (caller: string, tokens: number) => {
      const [reservation] = admission.reserve(1, caller) as [Reservation];
      admission.count([{ reservation, tokens }]);
    };
    count("a", 45);
    count("b", 45);
    expect(() => count("c", 31)).toThrow(FULL);
    count("c", 30);
    expect(() => count("c", 1)).toThrow(FULL);
    expect(admission.tokens).toBe(120);
  });

  test("divides the limit by the waiting callers: a caller that has left no longer counts", () => {
    const admission = new Admission({ maxQueuedItems: 4, maxQueuedTokens: 100 });
    const reservations = admission.reserve(2, "a");
    admission.reserve(2, "b");
    for (const reservation of reservations) reservation.release();
    admission.reserve(2, "b");
    expect(() => admission.reserve(3, "c")).toThrow(FULL);
    admission.reserve(2, "c");
  });
});

test("a single caller can use the whole queue", () => {
  const admission = new Admission({ maxQueuedItems: 12, maxQueuedTokens: 100 });
  admission.reserve(8, "a");
  admission.reserve(4, "a");
  expect(() => admission.reserve(1, "a")).toThrow(FULL);
});

test("for random calls and releases, the queue is bounded, and its counts equal the reservations", () => {
  const limit = 20;
  const call = fc.record({
    caller: fc.integer({ min: 0, max: 7 }),
    items: fc.integer({ min: 0, max: 12 }),
    leaves: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(call, { maxLength: 60 }), (calls) => {
      const admission = new Admission({ maxQueuedItems: limit, maxQueuedTokens: 10 * limit });
      const held: (readonly Reservation[])[] = [];
      for (const { caller, items, leaves } of calls) {
        try {
          const reservations = admission.reserve(items, caller);
          held.push(reservations);
          admission.count(reservations.map((reservation) => ({ reservation, tokens: 3 })));
        } catch (error) {
          expect(error).toEqual(FULL);
        }
        for (const reservations of held.splice(0, leaves))
          for (const reservation of [...reservations, ...reservations]) reservation.release();
        expect(admission.items).toBe(held.flat().length);
        // 1 + 1/2 + … + 1/8 times the limit.
        expect(admission.items).toBeLessThanOrEqual(2.72 * limit);
      }
      for (const reservation of held.flat()) reservation.release();
      expect([admission.items, admission.tokens]).toEqual([0, 0]);
    }),
  );
});
