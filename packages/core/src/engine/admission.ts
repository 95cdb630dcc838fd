/**
 * How much may wait: items and tokens that were taken in and have not started to run, prepared or not. Above the limits
 * a call is refused before any work is spent on it; the engine does not grow a queue.
 *
 * A full queue still takes a call whose caller stays within its share, the limit divided by the callers that wait: three
 * callers that flood the engine keep no fourth one out. What was taken in stays, so n callers hold at most
 * 1 + 1/2 + … + 1/n times the limit.
 */
import { VitgraphError } from "@vitgraph/errors";

export interface AdmissionLimits {
  readonly maxQueuedItems: number;
  readonly maxQueuedTokens: number;
}

/** What waits: of one caller, or of all. */
interface Waiting {
  items: number;
  tokens: number;
}

/** An item's place among those that wait. Leaving twice is leaving once. */
export class Place {
  readonly caller: unknown;
  #tokens = 0;
  #leave: ((tokens: number) => void) | undefined;

  constructor(caller: unknown, leave: (tokens: number) => void) {
    this.caller = caller;
    this.#leave = leave;
  }

  /** Whether the item still waits. */
  get held(): boolean {
    return this.#leave !== undefined;
  }

  /** Its tokens, once they are known; the admission has counted them. */
  hold(tokens: number): void {
    this.#tokens = tokens;
  }

  leave(): void {
    this.#leave?.(this.#tokens);
    this.#leave = undefined;
  }
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #all: Waiting = { items: 0, tokens: 0 };
  /** Callers with items that wait. */
  readonly #callers = new Map<unknown, Waiting>();

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Items that wait. */
  get items(): number {
    return this.#all.items;
  }

  /** Tokens of those whose size is known. */
  get tokens(): number {
    return this.#all.tokens;
  }

  /**
   * Places for the items of a call: all of them, or none.
   * @param caller whose share they take; compared like a key of a Map
   * @throws VG_QUEUE_FULL, VG_ARGUMENT_INVALID
   */
  enter(items: number, caller: unknown): readonly Place[] {
    const own = this.#callers.get(caller) ?? { items: 0, tokens: 0 };
    this.#refuse("items", items, own, this.#limits.maxQueuedItems, "maxQueuedItems");
    if (items === 0) return [];
    this.#callers.set(caller, own);
    const add = (change: Waiting) => {
      for (const waiting of [own, this.#all]) {
        waiting.items += change.items;
        waiting.tokens += change.tokens;
      }
    };
    add({ items, tokens: 0 });
    const leave = (tokens: number) => {
      add({ items: -1, tokens: -tokens });
      if (own.items === 0) this.#callers.delete(caller);
    };
    return Array.from({ length: items }, () => new Place(caller, leave));
  }

  /** Counts the tokens of a call's items, in their places: all of them, or none. @throws VG_QUEUE_FULL, VG_ARGUMENT_INVALID */
  count(places: readonly { readonly place: Place; readonly tokens: number }[]): void {
    const waiting = places.filter(({ place }) => place.held);
    const [first] = waiting;
    if (first === undefined) return;
    const own = this.#callers.get(first.place.caller) as Waiting;
    const tokens = waiting.reduce((sum, entry) => sum + entry.tokens, 0);
    this.#refuse("tokens", tokens, own, this.#limits.maxQueuedTokens, "maxQueuedTokens");
    this.#all.tokens += tokens;
    own.tokens += tokens;
    for (const entry of waiting) entry.place.hold(entry.tokens);
  }

  #refuse(unit: keyof Waiting, more: number, own: Waiting, limit: number, option: string): void {
    const waiting = this.#all[unit];
    if (waiting + more <= limit) return;
    const details = { [unit]: more, waiting, limit };
    if (more > limit) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `a call of ${more} ${unit} is more than the engine ever holds (${limit})`,
        { remedy: `send it in parts, or raise limits.${option}`, details },
      );
    }
    const callers = this.#callers.size + (own.items === 0 ? 1 : 0);
    if (own[unit] + more <= limit / callers) return;
    throw new VitgraphError(
      "VG_QUEUE_FULL",
      `${waiting} ${unit} wait, and there is no room for ${more} more (the limit is ${limit})`,
      { remedy: `try again later, or raise limits.${option}`, details },
    );
  }
}
