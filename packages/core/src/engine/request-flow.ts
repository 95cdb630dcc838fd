/**
 * Turns a call's items into outcomes: admits and opens them, counts tokens, computes each, and informs the observers.
 *
 *     items ─open▶ size known ─admit▶ ─preprocess pool▶ ready ─(output cache)▶ queue ─▶ batch ─▶ outcomes
 *
 * Every item is answered exactly once, in its call's order; an item's error is that item's outcome. A call as a whole is
 * rejected only before any of its items is accepted.
 */
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { budgetTokensOf, type ItemSpec } from "@vitgraph/scheduler";
import type { ItemSettled } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import type { StatsCounter } from "../runtime/stats.js";
import { Admission, type AdmissionLimits, type Reservation } from "./admission.js";
import { ItemAnswerer, type ItemAnswererOptions, type Settled } from "./answer-item.js";
import type { EngineItem, OpenedItem } from "./engine-item.js";
import type { EncodeOptions } from "./engine-options.js";
import type { RequestContext } from "./request-context.js";

export interface RequestFlowOptions extends ItemAnswererOptions {
  readonly admission: AdmissionLimits;
  readonly counter: StatsCounter;
}

export interface EncodeListeners {
  readonly onItemSpecs: EncodeOptions["onItemSpecs"];
  readonly onSettled?: (index: number, outcome: PromiseSettledResult<Embedding>) => void;
}

export class RequestFlow {
  readonly admission: Admission;
  readonly #options: RequestFlowOptions;
  readonly #answerer: ItemAnswerer;

  constructor(options: RequestFlowOptions) {
    this.#options = options;
    this.admission = new Admission(options.admission);
    this.#answerer = new ItemAnswerer(options);
  }

  /**
   * Returns one outcome per item, in order.
   * @param listeners `onItemSpecs`: see {@link EncodeOptions}; `onSettled`: called with each outcome as soon as it is ready
   */
  async encode(
    items: readonly EngineItem[],
    context: RequestContext,
    { onItemSpecs, onSettled }: EncodeListeners,
  ): Promise<PromiseSettledResult<Embedding>[]> {
    const { observers, clock } = this.#options;
    const { id } = context;
    const startedAt = clock.now();
    observers.callStarted({ id, items: items.length });
    observers.itemsArrived(items.length);
    let reservations: readonly Reservation[] = [];
    let fulfilled = 0;
    try {
      reservations = this.admission.reserve(items.length, context.caller);
      const headers = await this.#open(items, context);
      onItemSpecs?.(headers.map(specOf));
      const opened = headers.map((outcome, index) => ({
        outcome,
        reservation: reservations[index] as Reservation,
      }));
      this.admission.count(
        opened.flatMap(({ outcome, reservation }) =>
          outcome.status === "rejected" ? [] : [{ reservation, tokens: budgetTokensOf(outcome.value.spec) }],
        ),
      );
      const outcomes = await Promise.all(
        opened.map(async ({ outcome, reservation }, index) => {
          const settled = await this.#settle(outcome, reservation, context);
          onSettled?.(index, settled);
          return settled;
        }),
      );
      fulfilled = outcomes.filter(({ status }) => status === "fulfilled").length;
      return outcomes;
    } catch (reason) {
      for (const _ of items) this.#count({ outcome: { status: "rejected", reason }, source: "refused" });
      throw reason;
    } finally {
      for (const reservation of reservations) reservation.release();
      const rejected = items.length - fulfilled;
      observers.callEnded({ id, items: items.length, fulfilled, rejected, wallMs: clock.now() - startedAt });
    }
  }

  /** The size of each item. */
  async specs(
    items: readonly EngineItem[],
    context: RequestContext,
  ): Promise<PromiseSettledResult<ItemSpec>[]> {
    return (await this.#open(items, context)).map(specOf);
  }

  #open(items: readonly EngineItem[], context: RequestContext): Promise<PromiseSettledResult<OpenedItem>[]> {
    return Promise.allSettled(items.map((item) => this.#openItem(item, context)));
  }

  /** Rejects with VitgraphErrors only, although a field of an item may be a getter that throws. */
  async #openItem(item: EngineItem, context: RequestContext): Promise<OpenedItem> {
    try {
      return await context.race(this.#answerer.open(item, context));
    } catch (cause) {
      throw toVitgraphError(cause, "VG_INTERNAL", "the item could not be opened");
    }
  }

  /** One item's outcome; never rejects. */
  async #settle(
    opened: PromiseSettledResult<OpenedItem>,
    reservation: Reservation,
    context: RequestContext,
  ): Promise<PromiseSettledResult<Embedding>> {
    const settled: Settled =
      opened.status === "rejected"
        ? { outcome: opened, source: "refused" }
        : await this.#answerer.answer(opened.value, reservation, context);
    this.#count(settled);
    reservation.release();
    return settled.outcome;
  }

  #count({ outcome, source }: Settled): void {
    const { observers, counter } = this.#options;
    if (outcome.status === "fulfilled") {
      observers.itemSettled({ outcome: "fulfilled", source });
      return;
    }
    counter.failed(1);
    const code: ItemSettled["code"] = VitgraphError.is(outcome.reason) ? outcome.reason.code : "VG_INTERNAL";
    observers.itemSettled({ outcome: "rejected", code, source });
  }
}

function specOf(opened: PromiseSettledResult<OpenedItem>): PromiseSettledResult<ItemSpec> {
  return opened.status === "fulfilled" ? { status: "fulfilled", value: opened.value.spec } : opened;
}
