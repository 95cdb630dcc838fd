import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startProgress } from "./progress.js";
import { createFakeIo } from "./testing.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const CLEAR = "\r\x1b[K";

test("a log gets one line, at the end and without control characters", () => {
  const io = createFakeIo();
  const progress = startProgress(io, "loading");
  vi.advanceTimersByTime(1500);
  progress.update(1, 2);
  progress.print("a note");
  progress.done();
  expect(io.err).toBe("a note\nloading 1.50 s\n");
});

test("a terminal gets a line that moves each second, is cut to its width, and ends as the log's", () => {
  const io = createFakeIo({ terminalColumns: 12 });
  const progress = startProgress(io, "loading");
  vi.advanceTimersByTime(1000);
  progress.update(1, 2);
  vi.advanceTimersByTime(1000);
  progress.done();
  expect(io.err.split(CLEAR)).toEqual(["", "loading 0 s", "loading 1 s", "loading 50 ", "loading 2.00 s\n"]);
});

test("redraws are rare, however often the work reports", () => {
  const io = createFakeIo({ terminalColumns: 80 });
  const progress = startProgress(io, "loading");
  for (let step = 0; step < 1000; step++) {
    vi.advanceTimersByTime(1);
    progress.update(step, 1000);
  }
  expect(io.err.split(CLEAR).length).toBeLessThan(15);
});

test("lines of the work stand above it", () => {
  const io = createFakeIo({ terminalColumns: 80 });
  startProgress(io, "encoding").print("batch 1");
  expect(io.err).toBe(`${CLEAR}encoding 0 s${CLEAR}batch 1\n${CLEAR}encoding 0 s`);
});

test("an error removes the line, and the timer", () => {
  const io = createFakeIo({ terminalColumns: 80 });
  {
    using _ = startProgress(io, "loading");
  }
  expect(io.err.endsWith(CLEAR)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test("the rest is estimated from the share that is done", () => {
  const io = createFakeIo({ terminalColumns: 80 });
  const progress = startProgress(io, "loading");
  vi.advanceTimersByTime(1000);
  progress.update(1, 10);
  vi.advanceTimersByTime(3000);
  progress.update(1, 5);
  vi.advanceTimersByTime(1000);
  vi.advanceTimersByTime(99_000);
  progress.update(1, 4);
  vi.advanceTimersByTime(1000);
  const lines = io.err.split(CLEAR);
  expect(lines).toContain("loading 10 % 3 s");
  expect(lines).toContain("loading 20 % 5 s, 15 s left");
  expect(lines).toContain("loading 20 % 20 s");
  expect(lines.at(-1)).toBe("loading 25 % 105 s, 5 min left");
});
