/** The interface of an output cache. `OutputCache` implements it, and so can a host. */
import type { Embedding } from "../runtime/embedding.js";
import type { OutputCacheStats } from "./output-cache.js";

/** A cache of embeddings by content: {@link OutputCache}, or the host's own. */
export interface EmbeddingCache {
  /**
   * The embedding for `key`. Concurrent calls with one key compute it once. The signal passed to `compute` aborts when
   * no caller waits any more; `signal` belongs to this caller.
   *
   * A result belongs to its caller, who may write to it and transfer it: results must not share memory with each other
   * or with the cache. Keys include the model and the grid, so several engines can share one cache.
   */
  share(
    key: string,
    compute: (signal: AbortSignal) => Promise<Embedding>,
    signal?: AbortSignal,
  ): Promise<Embedding>;
  /** Counts since the cache was created. */
  stats(): OutputCacheStats;
  /** Removes all embeddings. */
  clear(): void;
}
