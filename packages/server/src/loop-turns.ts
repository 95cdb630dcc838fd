/**
 * Fair turns on the event loop, one per iteration: a request takes one to start, and one for each part of a large JSON body
 * and each piece of a JSON answer.
 *
 * Without turns, every iteration would serve all sockets of a flood. Another caller's request needs several iterations,
 * and would wait for the whole flood in each.
 */
import { FairLine, type LineEntry } from "@vitgraph/scheduler";

interface Waiting extends LineEntry {
  readonly start: () => void;
}

/** All turns have the same priority, so aging is off. */
const AGING_MS = Number.MAX_SAFE_INTEGER;

export class LoopTurns {
  readonly #line = new FairLine<Waiting>(AGING_MS);

  /** Resolves in an iteration of the event loop that has no other turn. */
  take(caller: string): Promise<void> {
    return new Promise((start) => {
      this.#line.add({ caller, priority: 0, cost: 1, start }, performance.now());
      if (this.#line.size === 1) setImmediate(() => this.#next());
    });
  }

  #next(): void {
    const now = performance.now();
    const first = this.#line.head(now);
    if (first === undefined) return;
    this.#line.take(first, now);
    first.start();
    if (this.#line.size > 0) setImmediate(() => this.#next());
  }
}
