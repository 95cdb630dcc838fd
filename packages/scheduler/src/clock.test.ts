import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "./index.js";
import { VirtualClock } from "./testing.js";

describe("systemClock", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("calls back once the delay has passed", () => {
    const callback = vi.fn();
    systemClock.after(20, callback);
    vi.advanceTimersByTime(19);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it("does not call back after it was cancelled", () => {
    const callback = vi.fn();
    const cancel = systemClock.after(20, callback);
    cancel();
    cancel();
    vi.advanceTimersByTime(100);
    expect(callback).not.toHaveBeenCalled();
  });

  it("waits for longer than setTimeout can", () => {
    const callback = vi.fn();
    const thirtyDaysMs = 30 * 24 * 3600 * 1000;
    systemClock.after(thirtyDaysMs, callback);
    vi.advanceTimersByTime(thirtyDaysMs - 1);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });
});

describe("VirtualClock", () => {
  it("fires timers in the order in which they are due, with what follows from each", async () => {
    const clock = new VirtualClock(100);
    const events: string[] = [];
    clock.after(20, () => events.push(`b at ${clock.now()}`));
    clock.after(10, () => {
      events.push(`a at ${clock.now()}`);
      void Promise.resolve().then(() => clock.after(5, () => events.push(`c at ${clock.now()}`)));
    });
    await clock.advance(19);
    expect(events).toEqual(["a at 110", "c at 115"]);
    expect(clock.pendingTimers).toBe(1);
    await clock.runAll();
    expect(events).toEqual(["a at 110", "c at 115", "b at 120"]);
    expect(clock.now()).toBe(120);
  });

  it("keeps the order of timers that are due together", async () => {
    const clock = new VirtualClock();
    const events: number[] = [];
    for (let i = 0; i < 5; i++) clock.after(3, () => events.push(i));
    await clock.runAll();
    expect(events).toEqual([0, 1, 2, 3, 4]);
  });

  it("sleeps, and forgets cancelled timers", async () => {
    const clock = new VirtualClock();
    const cancel = clock.after(5, () => expect.fail("was cancelled"));
    cancel();
    let slept = false;
    void clock.sleep(7).then(() => {
      slept = true;
    });
    await clock.advance(7);
    expect(slept).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });
});
