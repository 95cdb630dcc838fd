/**
 * The order in which the waiting entries of several callers are served: by priority, and within one priority each
 * caller in its share.
 *
 *   1. Lower priority numbers first, with aging: each full `agingMs` without service raises a caller's entries by one
 *      step. Waiting for the caller's own earlier entries does not count.
 *   2. Within a step, start-time fair queueing. A caller's tag is the cost served to it; the lowest tag goes next. A
 *      caller that starts to wait begins at the virtual time, which advances by the served cost divided by the number of
 *      waiting callers: about the mean of their tags. So idle callers accumulate no credit, and a newcomer goes before
 *      callers above their share and after those below.
 *   3. On equal tags, the caller with fewer waiting entries, then by arrival.
 *
 * If n callers flood the queue, a newcomer's first entry waits for about one entry each of at most n - 1 callers.
 */

export interface LineEntry {
  /** The caller charged for the entry; compared like a key of a Map. */
  readonly caller: unknown;
  /** Lower goes first, as in vLLM. */
  readonly priority: number;
  /** Cost of serving it, in the same unit for all entries. */
  readonly cost: number;
}

interface Caller {
  /** Cost served to it, on the scale of the virtual time. */
  tag: number;
  /** When it was last served, or began to wait. */
  turnSince: number;
  waiting: number;
}

interface Held {
  readonly caller: Caller;
  readonly arrivedAt: number;
}

/** Waiting entries of several callers, in the order in which they are served. */
export class FairLine<Entry extends LineEntry> {
  readonly #agingMs: number;
  /** In order of arrival. */
  readonly #entries = new Map<Entry, Held>();
  readonly #callers = new Map<unknown, Caller>();
  #waitingCallers = 0;
  #virtualTime = 0;

  /** @param agingMs above 0 */
  constructor(agingMs: number) {
    this.#agingMs = agingMs;
  }

  /** Waiting entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** In order of arrival. */
  entries(): Iterable<Entry> {
    return this.#entries.keys();
  }

  /** Adds an entry, which waits from now on. @param now in milliseconds, on a monotonic clock */
  add(entry: Entry, now: number): void {
    let caller = this.#callers.get(entry.caller);
    if (caller === undefined) {
      caller = { tag: this.#virtualTime, turnSince: now, waiting: 0 };
      this.#callers.set(entry.caller, caller);
    }
    if (caller.waiting === 0) {
      caller.tag = Math.max(caller.tag, this.#virtualTime);
      caller.turnSince = now;
      this.#waitingCallers += 1;
    }
    caller.waiting += 1;
    this.#entries.set(entry, { caller, arrivedAt: now });
  }

  /** Removes an entry that is served now. */
  take(entry: Entry, now: number): void {
    const caller = this.#entries.get(entry)?.caller;
    if (caller === undefined) return;
    caller.tag += entry.cost;
    caller.turnSince = now;
    this.#virtualTime += entry.cost / this.#waitingCallers;
    this.delete(entry);
  }

  /** Removes an entry without serving it, at no cost to its caller. */
  delete(entry: Entry): void {
    const caller = this.#entries.get(entry)?.caller;
    if (caller === undefined) return;
    this.#entries.delete(entry);
    caller.waiting -= 1;
    if (caller.waiting === 0) this.#waitingCallers -= 1;
    this.#forgetCallers();
  }

  /** The next entry for which `isWanted` is true. */
  head(now: number, isWanted: (entry: Entry) => boolean = () => true): Entry | undefined {
    let best: Ranked<Entry> | undefined;
    for (const [entry, held] of this.#entries) {
      if (!isWanted(entry)) continue;
      const { caller } = held;
      const ranked = { entry, caller, level: this.#levelOf(entry, held, now), tag: caller.tag };
      if (best === undefined || compareTurns(ranked, best) < 0) best = ranked;
    }
    return best?.entry;
  }

  /** The next `count` entries, as if served in sequence now. */
  first(count: number, now: number): Entry[] {
    const ranked = Array.from(this.#entries, ([entry, held]) => ({
      entry,
      caller: held.caller,
      level: this.#levelOf(entry, held, now),
      tag: 0,
    }));
    ranked.sort((a, b) => a.level - b.level);
    const tags = new Map<Caller, number>();
    for (const item of ranked) {
      item.tag = tags.get(item.caller) ?? item.caller.tag;
      tags.set(item.caller, item.tag + item.entry.cost);
    }
    ranked.sort(compareTurns);
    return ranked.slice(0, count).map(({ entry }) => entry);
  }

  #levelOf({ priority }: Entry, { caller, arrivedAt }: Held, now: number): number {
    return priority - Math.floor((now - Math.max(arrivedAt, caller.turnSince)) / this.#agingMs);
  }

  /** An idle caller above its share is remembered until the others have caught up. */
  #forgetCallers(): void {
    if (this.#entries.size === 0) {
      this.#callers.clear();
      this.#virtualTime = 0;
    } else if (this.#callers.size > 2 * this.#waitingCallers + MOST_IDLE_CALLERS) {
      for (const [key, { waiting, tag }] of this.#callers) {
        if (waiting === 0 && tag <= this.#virtualTime) this.#callers.delete(key);
      }
    }
  }
}

interface Ranked<Entry> {
  readonly entry: Entry;
  readonly caller: Caller;
  /** Priority less the aging steps. */
  readonly level: number;
  readonly tag: number;
}

function compareTurns(a: Ranked<unknown>, b: Ranked<unknown>): number {
  return a.level - b.level || a.tag - b.tag || a.caller.waiting - b.caller.waiting;
}

/** Number of idle callers that triggers the removal of those without excess. */
const MOST_IDLE_CALLERS = 64;
