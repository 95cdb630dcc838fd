import type { GridCacheStats } from "./grid-cache.js";

/** The statistics of vLLM's encoder (graph_hits, num_budgets, … there), and the padding of each budget. */
export interface GraphStatistics {
  /** Items that a budget's program encoded. */
  readonly graphHits: number;
  /** Items that ran eagerly. */
  readonly graphMisses: number;
  /** Between 0 and 1; 0 before the first item. */
  readonly hitRate: number;
  readonly numBudgets: number;
  readonly tokenBudgets: readonly number[];
  /** Padding of each budget as a share of its tokens, between 0 and 1. Budgets that never ran are absent. */
  readonly paddingByBudget: Readonly<Record<string, number>>;
}

/** Picks these statistics from an object with more fields. */
export function graphStatistics(stats: GraphStatistics): GraphStatistics {
  const { graphHits, graphMisses, hitRate, numBudgets, tokenBudgets, paddingByBudget } = stats;
  return { graphHits, graphMisses, hitRate, numBudgets, tokenBudgets, paddingByBudget };
}

/** The encoder's counters. Plain data. */
export interface EncoderStats extends GraphStatistics {
  /** Budgets whose graph failed its self-check, and that run eagerly. */
  readonly failedGraphs: readonly number[];
  readonly batches: number;
  /** Items that were refused or failed. */
  readonly failedItems: number;
  /** Padding as a share of the replayed budgets' tokens. */
  readonly padding: number;
  /** Null without a grid cache. */
  readonly gridCache: GridCacheStats | null;
}

export class StatsCounter {
  readonly #tokenBudgets: readonly number[];
  readonly #failedGraphs: readonly number[];
  #hits = 0;
  #misses = 0;
  #batches = 0;
  #failed = 0;
  readonly #tokensOfBudget = new Map<number, { room: number; used: number }>();

  constructor(tokenBudgets: readonly number[], failedGraphs: readonly number[]) {
    this.#tokenBudgets = tokenBudgets;
    this.#failedGraphs = failedGraphs;
  }

  batch(items: number, tokens: number, budget: number | null): void {
    this.#batches += 1;
    if (budget === null) {
      this.#misses += items;
      return;
    }
    this.#hits += items;
    const sum = this.#tokensOfBudget.get(budget) ?? { room: 0, used: 0 };
    this.#tokensOfBudget.set(budget, { room: sum.room + budget, used: sum.used + tokens });
  }

  failed(items: number): void {
    this.#failed += items;
  }

  snapshot(): Omit<EncoderStats, "gridCache"> {
    const runs = this.#hits + this.#misses;
    const sums = [...this.#tokensOfBudget];
    const total = (key: "room" | "used") => sums.reduce((tokens, [, sum]) => tokens + sum[key], 0);
    return {
      graphHits: this.#hits,
      graphMisses: this.#misses,
      hitRate: runs === 0 ? 0 : this.#hits / runs,
      numBudgets: this.#tokenBudgets.length,
      tokenBudgets: this.#tokenBudgets,
      failedGraphs: this.#failedGraphs,
      batches: this.#batches,
      failedItems: this.#failed,
      padding: sums.length === 0 ? 0 : 1 - total("used") / total("room"),
      paddingByBudget: Object.fromEntries(sums.map(([budget, { room, used }]) => [budget, 1 - used / room])),
    };
  }
}
