/** The queue's clock, injected so that tests can stop and advance time. */

export interface Clock {
  /** Milliseconds since a fixed moment; monotonic. */
  now(): number;
  /**
   * Calls `callback` once, `delayMs` from now or a little later. Returns a function that cancels it; cancelling twice
   * is allowed.
   */
  after(delayMs: number, callback: () => void): () => void;
}

/** Longest delay that setTimeout takes; it treats anything above as 1 ms. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** The machine's monotonic clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delayMs, callback) {
    const dueAt = performance.now() + delayMs;
    let timer: ReturnType<typeof setTimeout>;
    const arm = (): void => {
      // A timer may fire a millisecond early, and a long delay takes several timers.
      const left = dueAt - performance.now();
      if (left <= 0) callback();
      else timer = setTimeout(arm, Math.min(Math.ceil(left), MAX_TIMEOUT_MS));
    };
    timer = setTimeout(arm, Math.min(Math.ceil(delayMs), MAX_TIMEOUT_MS));
    return () => clearTimeout(timer);
  },
};
