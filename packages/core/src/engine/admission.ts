/**
 * Admission control: limits waiting items and tokens, preprocessed or not. A call above the limits is refused before
 * any work is spent on it.
 *
 * A full queue still accepts a call whose caller stays within its share, the limit divided by the number of waiting
 * callers, so three callers that flood the engine do not lock out a fourth. Accepted items keep their reservations, so
 * n callers hold at most 1 + 1/2 + … + 1/n times the limit.
 */
import { VitgraphError } from "@vitgraph/errors";

export interface AdmissionLimits {
  readonly maxQueuedItems: number;
  readonly maxQueuedTokens: number;
}

/** Waiting items and tokens of one caller, or of all. */
interface Waiting {
  items: number;
  tokens: number;
}

/** An item's share of the limits, from its arrival until it runs or is settled. Releasing it again has no effect. */
export class Reservation {
  readonly caller: unknown;
  #tokens = 0;
  #release: ((tokens: number) => void) | undefined;

  constructor(caller: unknown, release: (tokens: number) => void) {
    this.caller = caller;
    this.#release = release;
  }

  get isHeld(): boolean {
    return this.#release !== undefined;
  }

  /** Tokens of the item, counted by {@link Admission.count}. */
  set tokens(tokens: number) {
    this.#tokens = tokens;
  }

  release(): void {
    this.#release?.(this.#tokens);
    this.#release = undefined;
  }
}

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #all: Waiting = { items: 0, tokens: 0 };
  /** Callers with waiting items. */
  readonly #callers = new Map<unknown, Waiting>();

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Number of waiting items. */
  get items(): number {
    return this.#all.items;
  }

  /** Tokens of the waiting items whose size is known. */
  get tokens(): number {
    return this.#all.tokens;
  }

  /**
   * Reserves room for all items of a call, or for none.
   * @param caller the caller whose share they use; compared like a key of a Map
   * @throws VG_QUEUE_FULL, VG_ARGUMENT_INVALID
   */
  reserve(items: number, caller: unknown): readonly Reservation[] {
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
    const release = (tokens: number) => {
      add({ items: -1, tokens: -tokens });
      if (own.items === 0) this.#callers.delete(caller);
    };
    return Array.from({ length: items }, () => new Reservation(caller, release));
  }

  /** Counts the tokens of all items of a call, or of none. @throws VG_QUEUE_FULL, VG_ARGUMENT_INVALID */
  count(items: readonly { readonly reservation: Reservation; readonly tokens: number }[]): void {
    const waiting = items.filter(({ reservation }) => reservation.isHeld);
    const [first] = waiting;
    if (first === undefined) return;
    const own = this.#callers.get(first.reservation.caller) as Waiting;
    const tokens = waiting.reduce((sum, entry) => sum + entry.tokens, 0);
    this.#refuse("tokens", tokens, own, this.#limits.maxQueuedTokens, "maxQueuedTokens");
    this.#all.tokens += tokens;
    own.tokens += tokens;
    for (const entry of waiting) entry.reservation.tokens = entry.tokens;
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
