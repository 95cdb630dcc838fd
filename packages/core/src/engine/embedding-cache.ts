/** What the engine asks of an output cache: `OutputCache` is one, and a host can bring its own. */
import type { Embedding } from "../runtime/embedding.js";
import type { OutputCacheStats } from "./output-cache.js";

export interface EmbeddingCache {
  get(key: string): Embedding | undefined;
  /**
   * The embedding under `key`, computed once however many ask at the same time. The signal that `compute` is handed
   * aborts when nobody waits any more; `signal` is this caller's own.
   */
  share(
    key: string,
    compute: (signal: AbortSignal) => Promise<Embedding>,
    signal?: AbortSignal,
  ): Promise<Embedding>;
  stats(): OutputCacheStats;
  clear(): void;
}
