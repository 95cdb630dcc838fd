/**
 * The lines of `encoder_cudagraph_verbose`, as printed by the pull request that brought encoder graphs to vLLM, so that
 * scripts for its logs can read them. Pure functions.
 */
import type { Frame } from "../runtime/grid-rows.js";
import type { GraphStatistics } from "../runtime/stats.js";
import type { BatchStart } from "./observer.js";

/**
 * The line of a batch.
 *
 * @param modality of the batch; only the line of an eager batch names it
 */
export function batchLine(
  { items, tokens, budget, padding }: Pick<BatchStart, "items" | "tokens" | "budget" | "padding">,
  modality: "image" | "video" = "image",
): string {
  if (budget === null) return `ViT BUDGET BATCH fallback to eager: modality=${modality}, num_items=${items}`;
  // One graph serves every mix of grids, so its key is the budget alone.
  return `ViT BUDGET BATCH: ${items} images, ${tokens} tokens, budget=${budget}, waste=${percent(padding)}, graph_key=${budget}`;
}

/** The line of graph hits and misses at the end. */
export function graphStatsLine({
  graphHits,
  graphMisses,
  hitRate,
  numBudgets,
}: Pick<GraphStatistics, "graphHits" | "graphMisses" | "hitRate" | "numBudgets">): string {
  return `Encoder CUDA graph stats: hits=${graphHits}, eager=${graphMisses}, hit_rate=${percent(hitRate)}, num_graphs=${numBudgets}`;
}

/** The line of device memory after graphs were captured. */
export function graphsCapturedLine(memory: {
  readonly usedBytes: number;
  readonly freeBytes: number;
}): string {
  const [used, free] = [memory.usedBytes, memory.freeBytes].map((bytes) => (bytes / 2 ** 30).toFixed(2));
  return `Encoder CUDA graphs captured: ${used} GiB used by encoder graphs, ${free} GiB free`;
}

/** The line of a grid cache that was filled at startup. */
export function embeddingCacheWarmedLine(cache: {
  readonly entries: number;
  readonly bytes: number;
}): string {
  return `Embedding cache warmed: ${cache.entries} grids total, memory: ${(cache.bytes / 2 ** 20).toFixed(2)} MiB`;
}

/**
 * The line of grids that the grid cache did not have.
 *
 * @param frames what the cache keeps. Frames of one grid share its rows, so each is printed as a grid of one frame; frames
 *   that differ are printed as the grid of their chunk.
 */
export function embeddingCacheMissLine(frames: readonly Frame[]): string {
  const list = frames.map(({ t, h, w }) => `(${t}, ${h}, ${w})`).join(", ");
  return `Embedding cache miss for grids: [${list}] (computed on-the-fly)`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
