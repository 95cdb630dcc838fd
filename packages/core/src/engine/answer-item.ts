/**
 * One item's way from its caller's form to its embedding: open, prepare, output cache, queue.
 *
 * A computation whose result may reach other callers works on memory that no caller holds: decoded pixels, or a copy of
 * ready rows, made before they are hashed. Without an output cache, ready rows are used as they are and checked again
 * when they are staged, since only their own caller's answer depends on them.
 */
import { toVitgraphError } from "@vitgraph/errors";
import type { Clock, EncoderQueue } from "@vitgraph/scheduler";
import type { EncoderItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import type { ItemSettled, ObserverList } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import type { Place } from "./admission.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import {
  type EngineItem,
  headerWork,
  type OpenedItem,
  type OpenItemOptions,
  openItem,
} from "./engine-item.js";
import { contentKey, uuidKey } from "./output-cache.js";
import type { Prepared, PreparePool } from "./prepare-pool.js";
import type { Ticket } from "./ticket.js";

/** One call of `encode` or `getItemSpecs`. */
export interface Call {
  readonly id: number;
  readonly ticket: Ticket;
  readonly priority: number;
  /** Whose share the call takes. */
  readonly caller: unknown;
  /** In the place of the queue's window. */
  readonly windowMs: number;
}

/** An item in the queue. */
export interface QueuedWork {
  /** Id of its call. */
  readonly call: number;
  readonly item: EncoderItem;
  /** Called when its batch starts. */
  readonly started: () => void;
}

/** An item's outcome, and where it was decided. */
export interface Settled {
  readonly outcome: PromiseSettledResult<Embedding>;
  readonly source: ItemSettled["source"];
}

export interface ItemAnswererOptions {
  readonly model: LoadedModel;
  /** What embeddings depend on besides their items: see `engineIdentity`. */
  readonly identity: string;
  readonly cache: EmbeddingCache | undefined;
  readonly pool: PreparePool;
  readonly queue: EncoderQueue<QueuedWork, Embedding>;
  readonly observers: ObserverList;
  readonly limits: OpenItemOptions;
  readonly clock: Clock;
}

/** Called when an item reaches a place where its outcome may be decided. */
type Reach = (source: ItemSettled["source"]) => void;

interface PreparedItem {
  readonly item: EncoderItem;
  /** Of its content, if it was asked for. */
  readonly key?: string;
}

export class ItemAnswerer {
  readonly #options: ItemAnswererOptions;

  constructor(options: ItemAnswererOptions) {
    this.#options = options;
  }

  /** Reads an item's size. Headers of encoded images are read in the pool: a header can be the whole file. */
  async open(item: EngineItem, { ticket, priority, caller }: Call): Promise<OpenedItem> {
    const { model, limits, pool } = this.#options;
    const { bytes, isSmall } = headerWork(item);
    const open = (signal: AbortSignal) => openItem(item, model, limits, signal);
    if (bytes === 0) return open(ticket.signal);
    const turn = { caller, priority, signal: ticket.signal };
    using opened = await pool.run({ bytes, keptBytes: 0, isSmall, work: open }, turn);
    return opened.value;
  }

  /** Never rejects. */
  async answer(opened: OpenedItem, place: Place, call: Call): Promise<Settled> {
    let source: ItemSettled["source"] = "refused";
    const reach: Reach = (reached) => {
      source = reached;
      // It runs, and waits no more.
      if (reached === "device") place.leave();
    };
    try {
      const value = await call.ticket.race(this.#embed(opened, call, reach));
      return { outcome: { status: "fulfilled", value }, source };
    } catch (cause) {
      const reason = toVitgraphError(cause, "VG_INTERNAL", "the item could not be encoded");
      return { outcome: { status: "rejected", reason }, source };
    }
  }

  /** From the cache, or computed. Of identical items that arrive together, one is computed for all. */
  async #embed(opened: OpenedItem, call: Call, reach: Reach): Promise<Embedding> {
    const { cache, identity } = this.#options;
    const { signal } = call.ticket;
    const { uuid, borrowed } = opened;
    const key = uuid === undefined ? undefined : uuidKey(uuid, identity, opened.grid);
    if (cache === undefined) {
      const prepared =
        borrowed === undefined
          ? await this.#prepare(opened, call, signal, false)
          : { value: { item: borrowed }, [Symbol.dispose]() {} };
      return this.#encode(opened, prepared, call, signal, reach);
    }
    // Behind the cache, a computation belongs to all who wait for it: it ends with the last of them.
    reach("output_cache");
    if (key !== undefined) {
      const compute = async (flight: AbortSignal) => {
        reach("refused");
        return this.#encode(opened, await this.#prepare(opened, call, flight, false), call, flight, reach);
      };
      return cache.share(key, compute, signal);
    }
    reach("refused");
    const prepared = await this.#prepare(opened, call, signal, true);
    let isEncoding = false;
    try {
      reach("output_cache");
      const compute = (flight: AbortSignal) => {
        isEncoding = true;
        reach("refused");
        return this.#encode(opened, prepared, call, flight, reach);
      };
      return await cache.share(prepared.value.key as string, compute, signal);
    } finally {
      if (!isEncoding) prepared[Symbol.dispose]();
    }
  }

  async #encode(
    { spec }: OpenedItem,
    prepared: Prepared<PreparedItem>,
    { id, priority, caller, windowMs }: Call,
    signal: AbortSignal,
    reach: Reach,
  ): Promise<Embedding> {
    using _room = prepared;
    const work = { call: id, item: prepared.value.item, started: () => reach("device") };
    return this.#options.queue.submit(work, spec, { priority, caller, windowMs, signal });
  }

  /** The item in the engine's own memory, and the key of its content if it is asked for. */
  #prepare(
    opened: OpenedItem,
    { caller, priority }: Call,
    signal: AbortSignal,
    withKey: boolean,
  ): Promise<Prepared<PreparedItem>> {
    const { pool, clock, identity, observers } = this.#options;
    const { kind, bytes, keptBytes, isSmall } = opened;
    const work = async (ends: AbortSignal): Promise<PreparedItem> => {
      const startedAt = clock.now();
      const item = await opened.prepare(ends);
      ends.throwIfAborted();
      const prepared = withKey ? { item, key: await contentKey(item, identity) } : { item };
      if (kind !== "ready") observers.prepared({ durationMs: clock.now() - startedAt, kind });
      return prepared;
    };
    return pool.run({ bytes, keptBytes, isSmall, work }, { caller, priority, signal });
  }
}
