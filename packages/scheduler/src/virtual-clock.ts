/** A clock for tests: time passes only on request, and due timers run in order. */
import type { Clock } from "./clock.js";

export class VirtualClock implements Clock {
  #now: number;
  #sequence = 0;
  readonly #timers = new Map<number, { readonly dueAt: number; readonly callback: () => void }>();

  constructor(startMs = 0) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, callback: () => void): () => void {
    const id = this.#sequence++;
    this.#timers.set(id, { dueAt: this.#now + Math.max(0, delayMs), callback });
    return () => this.#timers.delete(id);
  }

  /** Resolves after `delayMs`. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Pending timers: 0 if none leaked. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Advances by `ms`: fires due timers one by one, and settles their promises. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (let next = this.#next(); next !== undefined && next.dueAt <= end; next = this.#next()) {
      await this.#fire(next);
    }
    this.#now = end;
  }

  /** Advances until no timer is left. */
  async runAll(): Promise<void> {
    await settle();
    for (let next = this.#next(); next !== undefined; next = this.#next()) await this.#fire(next);
  }

  #next(): { readonly id: number; readonly dueAt: number } | undefined {
    let next: { id: number; dueAt: number } | undefined;
    for (const [id, { dueAt }] of this.#timers)
      if (next === undefined || dueAt < next.dueAt) next = { id, dueAt };
    return next;
  }

  async #fire({ id, dueAt }: { readonly id: number; readonly dueAt: number }): Promise<void> {
    const { callback } = this.#timers.get(id)!;
    this.#timers.delete(id);
    this.#now = Math.max(this.#now, dueAt);
    callback();
    await settle();
  }
}

/** Resolves when all runnable promise callbacks have run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
