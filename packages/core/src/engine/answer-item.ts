/**
 * Answers one item: opens it, preprocesses it, and takes its embedding from the output cache or the queue.
 *
 * A computation whose result may reach other callers works on memory that no caller holds: decoded pixels, or a copy of
 * ready rows, made before they are hashed. Without an output cache, ready rows are used as they are and checked again
 * when they are staged, since only their own caller's answer depends on them.
 */
import { toVitgraphError } from "@vitgraph/errors";
import type { Clock, EncoderQueue, Packable } from "@vitgraph/scheduler";
import type { EncoderItem } from "../item.js";
import type { LoadedModel } from "../models/load-model.js";
import { nextTurn } from "../next-turn.js";
import type { ItemSettled, ObserverList } from "../observability/observer.js";
import type { Embedding } from "../runtime/embedding.js";
import type { Reservation } from "./admission.js";
import type { EmbeddingCache } from "./embedding-cache.js";
import {
  type EngineItem,
  headerWork,
  type OpenedItem,
  type OpenItemOptions,
  openItem,
} from "./engine-item.js";
import { contentKey, uuidKey } from "./output-cache.js";
import type { Preprocessed, PreprocessPool } from "./preprocess-pool.js";
import type { RequestContext } from "./request-context.js";

/** An item in the queue. */
export interface QueuedWork extends Packable {
  /** Id of its call. */
  readonly call: number;
  readonly item: EncoderItem;
  /** Aborts when no caller waits for the item. */
  readonly signal: AbortSignal;
  /** Called when its batch starts. */
  readonly started: () => void;
}

/** An item's outcome, and the component that determined it. */
export interface Settled {
  readonly outcome: PromiseSettledResult<Embedding>;
  readonly source: ItemSettled["source"];
}

export interface ItemAnswererOptions {
  readonly model: LoadedModel;
  /** Everything that embeddings depend on besides their items: see `engineIdentity`. */
  readonly identity: string;
  readonly cache: EmbeddingCache | undefined;
  readonly pool: PreprocessPool;
  /** The pool that reads the headers of small images, which never wait for decoding. */
  readonly headers: PreprocessPool;
  readonly queue: EncoderQueue<QueuedWork, Embedding>;
  readonly observers: ObserverList;
  readonly limits: OpenItemOptions;
  readonly clock: Clock;
}

/** Called when an item reaches a component that may determine its outcome. */
type Reach = (source: ItemSettled["source"]) => void;

/** Headers of small images that are read before the JavaScript thread yields to other work: about 2 ms. */
const HEADERS_PER_TURN = 8;

interface ReadyItem {
  readonly item: EncoderItem;
  /** The content key, if requested. */
  readonly key?: string;
}

export class ItemAnswerer {
  readonly #options: ItemAnswererOptions;
  #headersRead = 0;

  constructor(options: ItemAnswererOptions) {
    this.#options = options;
  }

  /**
   * Reads an item's size. Headers are read in a pool that shares its slots fairly among callers: a header can be a
   * whole file.
   */
  async open(item: EngineItem, context: RequestContext): Promise<OpenedItem> {
    const { model, limits, pool, headers } = this.#options;
    const { bytes, isSmall } = headerWork(item);
    const open = (signal: AbortSignal) => openItem(item, model, limits, signal);
    if (bytes === 0) return open(context.signal);
    const openInTurn = async (signal: AbortSignal) => {
      if (++this.#headersRead % HEADERS_PER_TURN === 0) await nextTurn();
      return open(signal);
    };
    const job = { bytes, keptBytes: 0, isSmall: false };
    using opened = isSmall
      ? await headers.run({ ...job, work: openInTurn }, context)
      : await pool.run({ ...job, work: open }, context);
    return opened.value;
  }

  /** Never rejects. */
  async answer(opened: OpenedItem, reservation: Reservation, context: RequestContext): Promise<Settled> {
    let source: ItemSettled["source"] = "refused";
    const reach: Reach = (reached) => {
      source = reached;
      if (reached === "device") reservation.release();
    };
    try {
      const value = await context.race(this.#embed(opened, context, reach));
      return { outcome: { status: "fulfilled", value }, source };
    } catch (cause) {
      const reason = toVitgraphError(cause, "VG_INTERNAL", "the item could not be encoded");
      return { outcome: { status: "rejected", reason }, source };
    }
  }

  /** Gets the embedding from the cache, or computes it. Identical items that arrive together are computed once. */
  async #embed(opened: OpenedItem, context: RequestContext, reach: Reach): Promise<Embedding> {
    const { cache, identity } = this.#options;
    const { signal } = context;
    const { uuid, borrowed } = opened;
    const key = uuid === undefined ? undefined : uuidKey(uuid, identity, opened.grid);
    if (cache === undefined) {
      const ready =
        borrowed === undefined
          ? await this.#preprocess(opened, context, signal, false)
          : { value: { item: borrowed }, [Symbol.dispose]() {} };
      return this.#encode(opened, ready, context, signal, reach);
    }
    // A computation through the cache serves all waiting callers, and is cancelled only when the last one leaves.
    reach("output_cache");
    if (key !== undefined) {
      const compute = async (flight: AbortSignal) => {
        reach("refused");
        return this.#encode(
          opened,
          await this.#preprocess(opened, context, flight, false),
          context,
          flight,
          reach,
        );
      };
      return cache.share(key, compute, signal);
    }
    reach("refused");
    const ready = await this.#preprocess(opened, context, signal, true);
    let isEncoding = false;
    try {
      reach("output_cache");
      const compute = (flight: AbortSignal) => {
        isEncoding = true;
        reach("refused");
        return this.#encode(opened, ready, context, flight, reach);
      };
      return await cache.share(ready.value.key as string, compute, signal);
    } finally {
      if (!isEncoding) ready[Symbol.dispose]();
    }
  }

  async #encode(
    { spec }: OpenedItem,
    ready: Preprocessed<ReadyItem>,
    { id, priority, caller, windowMs }: RequestContext,
    signal: AbortSignal,
    reach: Reach,
  ): Promise<Embedding> {
    using _room = ready;
    const work = { spec, call: id, item: ready.value.item, signal, started: () => reach("device") };
    return this.#options.queue.submit(work, { priority, caller, windowMs, signal });
  }

  /** Copies or decodes the item into the engine's memory, and computes the key of its content on request. */
  #preprocess(
    opened: OpenedItem,
    { caller, priority }: RequestContext,
    signal: AbortSignal,
    withKey: boolean,
  ): Promise<Preprocessed<ReadyItem>> {
    const { pool, clock, identity, observers } = this.#options;
    const { kind, bytes, keptBytes, isSmall } = opened;
    const work = async (ends: AbortSignal): Promise<ReadyItem> => {
      const startedAt = clock.now();
      const item = await opened.preprocess(ends);
      ends.throwIfAborted();
      const ready = withKey ? { item, key: await contentKey(item, identity) } : { item };
      if (kind !== "ready") observers.prepared({ durationMs: clock.now() - startedAt, kind });
      return ready;
    };
    return pool.run({ bytes, keptBytes, isSmall, work }, { caller, priority, signal });
  }
}
