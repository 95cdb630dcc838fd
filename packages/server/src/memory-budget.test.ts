import { expect, test } from "vitest";
import { MemoryBudget } from "./memory-budget.js";

const FULL = expect.objectContaining({ code: "VG_QUEUE_FULL" });

test("memory is taken up to the limit, and comes back once", () => {
  const budget = new MemoryBudget(100);
  const lease = budget.open("a");
  lease.take(60);
  expect(() => lease.take(41)).toThrow(FULL);
  lease.take(40);
  lease.release();
  lease.release();
  expect(budget.heldBytes).toBe(0);
});

test("bytes come back once, before their request ends or with it", () => {
  const budget = new MemoryBudget(100);
  const lease = budget.open("a");
  lease.take(10);
  const taken = lease.take(60);
  taken[Symbol.dispose]();
  taken[Symbol.dispose]();
  expect(budget.heldBytes).toBe(10);
  const late = lease.take(90);
  lease.release();
  late[Symbol.dispose]();
  expect(budget.heldBytes).toBe(0);
});

test("a full budget accepts a caller within its share, and no other", () => {
  const budget = new MemoryBudget(100);
  const flood = budget.open("flood");
  flood.take(100);
  const other = budget.open("other");
  other.take(50);
  expect(() => other.take(1)).toThrow(FULL);
  expect(() => budget.open("flood").take(1)).toThrow(FULL);
});

test("a request that has ended takes nothing", () => {
  const budget = new MemoryBudget(100);
  const lease = budget.open("a");
  lease.release();
  lease.take(50);
  expect(budget.heldBytes).toBe(0);
});
