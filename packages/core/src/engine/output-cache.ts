/**
 * The output cache: embeddings that were computed before, least recently used out first, bounded by bytes of host
 * memory; and the flights of those that are being computed now, so that identical items that arrive together compute
 * once.
 *
 * An entry counts with the whole buffer that its bytes are a view of, since that is what it keeps in memory. Nothing is
 * copied: an embedding of a hundred megabytes would hold up JavaScript's thread.
 */
import { VitgraphError } from "@vitgraph/errors";
import type { EncoderItem } from "../item.js";
import { Embedding } from "../runtime/embedding.js";

/** Plain data; counts are since the cache was made. */
export interface OutputCacheStats {
  /** Asked for and found. */
  readonly hits: number;
  /** Computed, since neither an entry nor a flight had it. */
  readonly misses: number;
  /** Waited for a computation that another caller had begun. */
  readonly joined: number;
  /** Entries that had to go for others. */
  readonly evictions: number;
  readonly entries: number;
  /** What the entries keep in memory; never more than `capacityBytes`. */
  readonly bytes: number;
  readonly capacityBytes: number;
}

/** One computation, and how many wait for it. */
interface Flight {
  readonly controller: AbortController;
  readonly result: Promise<Embedding>;
  waiting: number;
}

export class OutputCache {
  readonly #capacityBytes: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Embedding>();
  readonly #flights = new Map<string, Flight>();
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #joined = 0;
  #evictions = 0;

  /**
   * @param capacityBytes most bytes of embeddings kept; 0 keeps none, and identical items that arrive together are
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
   * The embedding kept under `key`; it becomes the most recently used. Its bytes are shared with everybody who asks:
   * they are there to be read. Only a find is counted, since who finds nothing goes on to {@link share}.
   */
  get(key: string): Embedding | undefined {
    const embedding = this.#entries.get(key);
    if (embedding === undefined) return undefined;
    this.#hits += 1;
    this.#entries.delete(key);
    this.#entries.set(key, embedding);
    return ownCopy(embedding);
  }

  /**
   * The embedding kept under `key`, or the one that a caller before this one is computing, or what `compute` yields.
   *
   * `compute` works for all who wait: its signal aborts when nobody waits any more, and nothing else of one caller, such
   * as a deadline, belongs into it. What it rejects with goes to all who wait, and is not kept.
   * @param signal takes this caller out, with `VG_ABORTED`; the others' flight goes on
   */
  share(
    key: string,
    compute: (signal: AbortSignal) => Promise<Embedding>,
    signal?: AbortSignal,
  ): Promise<Embedding> {
    if (signal?.aborted) return Promise.reject(abortedError(signal));
    const kept = this.get(key);
    if (kept !== undefined) return Promise.resolve(kept);
    const flight = this.#flights.get(key);
    if (flight !== undefined) {
      this.#joined += 1;
      return this.#wait(key, flight, signal);
    }
    this.#misses += 1;
    return this.#wait(key, this.#start(key, compute), signal);
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

  /** Forgets everything. Flights still answer those who wait for them; nobody joins them, and nothing of them is kept. */
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
      // A flight that everybody left, or that was there before `clear`, is the key's no longer.
      const isCurrent = this.#flights.get(key) === flight;
      if (isCurrent) this.#flights.delete(key);
      return isCurrent;
    };
    const result = computed.then(
      (embedding) => {
        if (land()) this.#keep(key, embedding);
        return embedding;
      },
      (error) => {
        land();
        throw error;
      },
    );
    // When all have left, nobody hears of the failure, and none is owed an answer.
    result.catch(() => {});
    const flight: Flight = { controller, result, waiting: 0 };
    this.#flights.set(key, flight);
    return flight;
  }

  async #wait(key: string, flight: Flight, signal: AbortSignal | undefined): Promise<Embedding> {
    flight.waiting += 1;
    if (signal === undefined) return ownCopy(await flight.result);
    const { promise, reject } = withReject();
    const leave = () => {
      flight.waiting -= 1;
      reject(abortedError(signal));
      if (flight.waiting > 0) return;
      // Who comes now starts anew, rather than joining what is being cancelled.
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
      flight.controller.abort(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    try {
      return ownCopy(await Promise.race([flight.result, promise]));
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  #keep(key: string, embedding: Embedding): void {
    const bytes = heldBytes(embedding);
    if (bytes > this.#capacityBytes) return;
    this.#entries.set(key, ownCopy(embedding));
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#capacityBytes) break;
      this.#entries.delete(oldest);
      this.#bytes -= heldBytes(entry);
      this.#evictions += 1;
    }
  }
}

function heldBytes({ bytes }: Embedding): number {
  return bytes.buffer.byteLength;
}

/**
 * The same bytes in an embedding of its own. Whoever reads its `data` widens bf16 to f32, three times the memory: what
 * the cache keeps is never handed out itself, so that this memory is the reader's.
 */
function ownCopy({ grid, tokens, columns, dtype, bytes, batch }: Embedding): Embedding {
  return new Embedding({ grid, tokens, columns, dtype, bytes, batch });
}

function withReject(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<never>((_, rejectPromise) => {
    reject = rejectPromise;
  });
  return { promise, reject };
}

function abortedError(signal: AbortSignal): VitgraphError {
  return new VitgraphError("VG_ABORTED", "the caller took the item back while its embedding was awaited", {
    cause: signal.reason,
  });
}

/**
 * The key of an item's content: SHA-256 over its pixels, format and grid, and over who encodes it. Hashing runs on
 * another thread.
 * @param identity everything else that the embedding depends on: the checkpoint, its processor, the dtype
 */
export async function contentKey(item: EncoderItem, identity: string): Promise<string> {
  const { buffer, byteOffset, byteLength } = item.format === "normalized" ? item.pixelValues : item.pixels;
  const { t, h, w } = item.grid;
  const hashes: string[] = [];
  for (let at = 0; at < byteLength; at += HASHED_AT_ONCE_BYTES) {
    const length = Math.min(HASHED_AT_ONCE_BYTES, byteLength - at);
    const part = new Uint8Array(buffer, byteOffset + at, length);
    // `digest` refuses shared memory; everything else it copies itself, and once is enough.
    const own = buffer instanceof ArrayBuffer ? (part as Uint8Array<ArrayBuffer>) : part.slice();
    hashes.push(await sha256Hex(own));
  }
  const description = JSON.stringify([identity, item.format, t, h, w, byteLength, ...hashes]);
  return `sha256:${await sha256Hex(new TextEncoder().encode(description))}`;
}

/** `digest` copies what it is given on JavaScript's thread before it hashes elsewhere: no more than a moment's worth. */
const HASHED_AT_ONCE_BYTES = 2 ** 20;

/**
 * The key of an item that its caller names. It stands for whatever the caller says it does, and never meets a
 * {@link contentKey}: a prefix tells them apart.
 * @throws VG_ARGUMENT_INVALID
 */
export function uuidKey(uuid: string): string {
  if (typeof uuid === "string" && uuid !== "") return `uuid:${uuid}`;
  throw new VitgraphError("VG_ARGUMENT_INVALID", `an item's uuid is ${JSON.stringify(uuid)}`, {
    remedy: "give a string that stands for its content alone, or leave uuid out",
    details: { uuid },
  });
}

async function sha256Hex(data: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", data)).toString("hex");
}
