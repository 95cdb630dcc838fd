import type { GridCacheStats } from "./grid-cache.js";

/** The statistics of vLLM's encoder, under its names, and the padding of each budget. */
export interface GraphStatistics {
  /** Items that a budget's program encoded. */
  readonly graph_hits: number;
  /** Items that ran eagerly. */
  readonly graph_misses: number;
  /** Between 0 and 1; 0 before the first item. */
  readonly hit_rate: number;
  readonly num_budgets: number;
  readonly token_budgets: readonly number[];
  /** By budget, the share of its tokens that no item filled, between 0 and 1. Budgets that never ran are absent. */
  readonly padding_by_budget: Readonly<Record<string, number>>;
}

/** The statistics alone, of an object that has more. */
export function graphStatistics(stats: GraphStatistics): GraphStatistics {
  const { graph_hits, graph_misses, hit_rate, num_budgets, token_budgets, padding_by_budget } = stats;
  return { graph_hits, graph_misses, hit_rate, num_budgets, token_budgets, padding_by_budget };
}

/** What the encoder counts. Plain data. */
export interface EncoderStats extends GraphStatistics {
  /** Budgets whose graph differed from the eager run when it was checked, and that run eagerly since. */
  readonly failed_graphs: readonly number[];
  readonly batches: number;
  /** Items that were refused or failed. */
  readonly failed_items: number;
  /** Share of the replayed budgets' tokens that no item filled. */
  readonly padding: number;
  /** Null where there is none. */
  readonly grid_cache: GridCacheStats | null;
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

  snapshot(): Omit<EncoderStats, "grid_cache"> {
    const runs = this.#hits + this.#misses;
    const sums = [...this.#tokensOfBudget];
    const total = (key: "room" | "used") => sums.reduce((tokens, [, sum]) => tokens + sum[key], 0);
    return {
      graph_hits: this.#hits,
      graph_misses: this.#misses,
      hit_rate: runs === 0 ? 0 : this.#hits / runs,
      num_budgets: this.#tokenBudgets.length,
      token_budgets: this.#tokenBudgets,
      failed_graphs: this.#failedGraphs,
      batches: this.#batches,
      failed_items: this.#failed,
      padding: sums.length === 0 ? 0 : 1 - total("used") / total("room"),
      padding_by_budget: Object.fromEntries(
        sums.map(([budget, { room, used }]) => [budget, 1 - used / room]),
      ),
    };
  }
}
