import type { GridCacheStats } from "./grid-cache.js";

/** What the encoder counts, under vLLM's names where vLLM has one. Plain data. */
export interface EncoderStats {
  /** Items that a budget's program encoded. */
  readonly graph_hits: number;
  /** Items that ran eagerly. */
  readonly graph_misses: number;
  readonly hit_rate: number;
  readonly num_budgets: number;
  readonly token_budgets: readonly number[];
  /** Budgets whose graph differed from the eager run when it was checked, and that run eagerly since. */
  readonly failed_graphs: readonly number[];
  readonly batches: number;
  /** Items that were refused or failed. */
  readonly failed_items: number;
  /** Share of the replayed budgets' tokens that no item filled. */
  readonly waste: number;
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
  #budgetTokens = 0;
  #usedTokens = 0;

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
    this.#budgetTokens += budget;
    this.#usedTokens += tokens;
  }

  failed(items: number): void {
    this.#failed += items;
  }

  snapshot(): Omit<EncoderStats, "grid_cache"> {
    const runs = this.#hits + this.#misses;
    return {
      graph_hits: this.#hits,
      graph_misses: this.#misses,
      hit_rate: runs === 0 ? 0 : this.#hits / runs,
      num_budgets: this.#tokenBudgets.length,
      token_budgets: this.#tokenBudgets,
      failed_graphs: this.#failedGraphs,
      batches: this.#batches,
      failed_items: this.#failed,
      waste: this.#budgetTokens === 0 ? 0 : 1 - this.#usedTokens / this.#budgetTokens,
    };
  }
}
