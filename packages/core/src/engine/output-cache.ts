/**
 * The output cache: an LRU cache of embeddings, bounded by bytes of host memory, with the computations in progress, so
 * that concurrent identical items are computed once.
 *
 * A result belongs to its caller. The cache never shares its memory: each result is a copy, made in chunks so that a
 * large one does not block the JavaScript thread. Only an embedding for a single caller that is not cached is returned
 * without a copy. An entry's bytes are counted once, when it is inserted.
 */
import { createHash } from "node:crypto";
import { describe, VitgraphError } from "@vitgraph/errors";
import { onAbort } from "@vitgraph/scheduler";
import { type EncoderItem, type Grid, gridKey } from "../item.js";
import { Embedding } from "../runtime/embedding.js";
import { rowsOf } from "../runtime/stage-batch.js";
import { copyBytes } from "./copy-bytes.js";
import type { EmbeddingCache } from "./embedding-cache.js";

/** Plain data; counts since the cache was created. */
export interface OutputCacheStats {
  /** Results found in the cache. */
  readonly hits: number;
  /** Results that were computed. */
  readonly misses: number;
  /** Calls that waited for a computation started by another caller. */
  readonly joined: number;
  /** Entries dropped to make room for others. */
  readonly evictions: number;
  readonly entries: number;
  /** Memory of the entries; never more than `capacityBytes`. */
  readonly bytes: number;
  readonly capacityBytes: number;
}

interface Entry {
  /** Never returned directly: results are copies. */
  readonly embedding: Embedding;
  readonly sizeBytes: number;
}

/** A computation in progress, and the number of waiting callers. */
interface Flight {
  readonly controller: AbortController;
  readonly result: Promise<Embedding>;
  waiting: number;
  /** Whether the result is cached or has several waiting callers. Valid once the result is ready. */
  isShared: boolean;
}

/**
 * An LRU cache of embeddings, bounded by bytes of host memory. Several engines can share one: option `outputCache`.
 */
export class OutputCache implements EmbeddingCache {
  readonly #capacityBytes: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #flights = new Map<string, Flight>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #joined = 0;
  #evictions = 0;

  /**
   * @param capacityBytes maximum bytes of cached embeddings. With 0 none is cached, but identical concurrent items are
   *   still computed once
   * @throws VG_ARGUMENT_INVALID
   */
  constructor(capacityBytes: number) {
    if (!(capacityBytes >= 0)) {
      throw new VitgraphError(
        "VG_ARGUMENT_INVALID",
        `the output cache's capacity is ${capacityBytes} bytes`,
        {
          remedy: "give a number of bytes, 0 to keep no embeddings",
          details: { capacityBytes },
        },
      );
    }
    this.#capacityBytes = capacityBytes;
  }

  /**
   * The embedding cached under `key`, or the one that an earlier caller is computing, or the result of `compute`.
   *
   * `compute` serves all waiting callers: its signal aborts when none is left, and it must not depend on one caller,
   * such as on its time limit. A rejection goes to all waiting callers, and is not cached.
   * @param signal rejects for this caller, with VG_ABORTED; the computation continues for the others
   */
  async share(
    key: string,
    compute: (signal: AbortSignal) => Promise<Embedding>,
    signal?: AbortSignal,
  ): Promise<Embedding> {
    if (signal?.aborted) throw abortedError(signal);
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      this.#hits += 1;
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      return copyOf(entry.embedding);
    }
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      this.#misses += 1;
      flight = this.#start(key, compute);
    } else {
      this.#joined += 1;
    }
    const embedding = await this.#wait(key, flight, signal);
    return flight.isShared ? copyOf(embedding) : embedding;
  }

  stats(): OutputCacheStats {
    return {
      hits: this.#hits,
      misses: this.#misses,
      joined: this.#joined,
      evictions: this.#evictions,
      entries: this.#entries.size,
      bytes: this.#bytes,
      capacityBytes: this.#capacityBytes,
    };
  }

  /**
   * Empties the cache. Computations in progress still serve their waiting callers, but no new ones, and are not cached.
   */
  clear(): void {
    this.#entries.clear();
    this.#flights.clear();
    this.#bytes = 0;
  }

  #start(key: string, compute: (signal: AbortSignal) => Promise<Embedding>): Flight {
    const controller = new AbortController();
    // A throw counts as a rejection.
    const computed = (async () => compute(controller.signal))();
    const land = () => {
      // False if all waiters left, or after `clear`.
      const isCurrent = this.#flights.get(key) === flight;
      if (isCurrent) this.#flights.delete(key);
      return isCurrent;
    };
    const result = computed.then(
      (embedding) => {
        const isKept = land() && this.#keep(key, embedding);
        flight.isShared = isKept || flight.waiting > 1;
        return embedding;
      },
      (error) => {
        land();
        throw error;
      },
    );
    // All waiters may have left: then nobody handles the rejection.
    result.catch(() => {});
    const flight: Flight = { controller, result, waiting: 0, isShared: true };
    this.#flights.set(key, flight);
    return flight;
  }

  async #wait(key: string, flight: Flight, signal: AbortSignal | undefined): Promise<Embedding> {
    flight.waiting += 1;
    if (signal === undefined) return flight.result;
    return new Promise((resolve, reject) => {
      const stop = onAbort(signal, () => {
        flight.waiting -= 1;
        reject(abortedError(signal));
        if (flight.waiting > 0) return;
        // New callers start a fresh computation instead of joining a cancelled one.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.controller.abort(signal.reason);
      });
      flight.result.then(resolve, reject).finally(stop);
    });
  }

  /** Inserts an embedding if it fits. @returns whether it was inserted */
  #keep(key: string, embedding: Embedding): boolean {
    // A view keeps its whole buffer in memory.
    const sizeBytes = embedding.bytes.buffer.byteLength;
    if (sizeBytes > this.#capacityBytes) return false;
    this.#entries.set(key, { embedding, sizeBytes });
    this.#bytes += sizeBytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#capacityBytes) break;
      this.#entries.delete(oldest);
      this.#bytes -= entry.sizeBytes;
      this.#evictions += 1;
    }
    return true;
  }
}

async function copyOf({ grid, tokens, columns, dtype, bytes, batch }: Embedding): Promise<Embedding> {
  return new Embedding({
    grid: { ...grid },
    tokens,
    columns,
    dtype,
    bytes: await copyBytes(bytes),
    batch: { ...batch },
  });
}

function abortedError(signal: AbortSignal): VitgraphError {
  return new VitgraphError("VG_ABORTED", "the caller cancelled the item before its embedding was ready", {
    cause: signal.reason,
  });
}

/**
 * The key of an item's content: SHA-256 over its pixels, format and grid, and over the encoder's identity. Hashing runs
 * on another thread. The item's memory must not change meanwhile, so pass a copy of a caller's item.
 * @param identity everything else that the embedding depends on: the checkpoint, its processor, the dtype
 */
export async function contentKey(item: EncoderItem, identity: string): Promise<string> {
  const { buffer, byteOffset, byteLength } = rowsOf(item);
  const hashes: string[] = [];
  for (let at = 0; at < byteLength; at += HASHED_AT_ONCE_BYTES) {
    const length = Math.min(HASHED_AT_ONCE_BYTES, byteLength - at);
    hashes.push(await sha256Hex(new Uint8Array(buffer as ArrayBuffer, byteOffset + at, length)));
  }
  const description = describeKey(identity, item.grid, item.format, byteLength, ...hashes);
  return `sha256:${await sha256Hex(new TextEncoder().encode(description))}`;
}

/** `digest` copies its argument on JavaScript's thread before it hashes elsewhere. */
const HASHED_AT_ONCE_BYTES = 2 ** 20;

/**
 * The key of an item that its caller names. The name identifies the content; the encoder's identity and the grid are
 * part of the key, since the embedding depends on them too. A prefix keeps it distinct from every {@link contentKey}.
 * @throws VG_ARGUMENT_INVALID
 */
export function uuidKey(uuid: string, identity: string, grid: Grid): string {
  if (typeof uuid === "string" && uuid !== "") {
    // Hashed, so that a key has a bounded length.
    return `uuid:${createHash("sha256")
      .update(describeKey(identity, grid, uuid))
      .digest("hex")}`;
  }
  throw new VitgraphError("VG_ARGUMENT_INVALID", `an item's uuid is ${describe(uuid)}`, {
    remedy: "give a string that stands for its content alone, or leave uuid out",
  });
}

function describeKey(identity: string, grid: Grid, ...rest: readonly (string | number)[]): string {
  return JSON.stringify([identity, gridKey(grid), ...rest]);
}

async function sha256Hex(data: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", data)).toString("hex");
}
