/** The interface of an output cache. `OutputCache` implements it, and so can a host. */
import type { Embedding } from "../runtime/embedding.js";
import type { OutputCacheStats } from "./output-cache.js";

/** A cache of embeddings by content: {@link OutputCache}, or the host's own. */
export interface EmbeddingCache {
  /**
   * The embedding under `key`, computed once however many ask at the same time. The signal that `compute` is handed
   * aborts when nobody waits any more; `signal` is this caller's own.
   *
   * An answer belongs to its caller, who may write to it and transfer it: no two answers may share memory with each
   * other or with what is kept. Keys name the model and the grid, so that several engines can share one cache.
   */
  share(
    key: string,
    compute: (signal: AbortSignal) => Promise<Embedding>,
    signal?: AbortSignal,
  ): Promise<Embedding>;
  stats(): OutputCacheStats;
  clear(): void;
}
