/**
 * How much may wait: items and tokens that were taken in and have not started to run, prepared or not. Above the limits
 * a call is refused before any work is spent on it; the engine does not grow a queue.
 */
import { VitgraphError } from "@vitgraph/errors";

export interface AdmissionLimits {
  readonly maxQueuedItems: number;
  readonly maxQueuedTokens: number;
}

/** An item's place among those that wait. Leaving twice is leaving once. */
export class Place {
  #tokens = 0;
  #leave: ((tokens: number) => void) | undefined;

  constructor(leave: (tokens: number) => void) {
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
  #items = 0;
  #tokens = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Items that wait. */
  get items(): number {
    return this.#items;
  }

  /** Tokens of those whose size is known. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Places for the items of a call: all of them, or none. @throws VG_QUEUE_FULL, VG_ARGUMENT_INVALID */
  enter(items: number): readonly Place[] {
    const { maxQueuedItems } = this.#limits;
    this.#refuse(items, this.#items, maxQueuedItems, "items", "maxQueuedItems");
    this.#items += items;
    const leave = (tokens: number) => {
      this.#items -= 1;
      this.#tokens -= tokens;
    };
    return Array.from({ length: items }, () => new Place(leave));
  }

  /** Counts the tokens of a call's items, in their places: all of them, or none. @throws VG_QUEUE_FULL, VG_ARGUMENT_INVALID */
  count(places: readonly { readonly place: Place; readonly tokens: number }[]): void {
    const waiting = places.filter(({ place }) => place.held);
    const tokens = waiting.reduce((sum, entry) => sum + entry.tokens, 0);
    this.#refuse(tokens, this.#tokens, this.#limits.maxQueuedTokens, "tokens", "maxQueuedTokens");
    this.#tokens += tokens;
    for (const entry of waiting) entry.place.hold(entry.tokens);
  }

  #refuse(more: number, waiting: number, limit: number, what: string, option: string): void {
    if (waiting + more <= limit) return;
    const details = { [what]: more, waiting, limit };
    if (more > limit) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `a call of ${more} ${what} is more than the engine ever holds (${limit})`,
        { remedy: `send it in parts, or raise limits.${option}`, details },
      );
    }
    throw new VitgraphError(
      "VG_QUEUE_FULL",
      `${waiting} ${what} wait, and there is no room for ${more} more (the limit is ${limit})`,
      { remedy: `try again later, or raise limits.${option}`, details },
    );
  }
}
