/** The data of the live page: JSON at /page/state, and messages at /page/events. Sizes and times, never contents. */
import type { LintFacts } from "@vitgraph/config";

/** GET /page/state */
export interface PageState {
  readonly model: string;
  /** The server answers /v1/chat/completions. */
  readonly hasChat: boolean;
  /** Ascending; the budgets that have a program. */
  readonly tokenBudgets: readonly number[];
  /** The engine's config; null if the server was started without it. */
  readonly compilationConfig: Readonly<Record<string, unknown>> | null;
  readonly lintFacts: LintFacts;
  /** Items of each size that ran since the start, by ascending size. Above 640 different sizes, sizes are rounded up by a few percent. */
  readonly sizes: readonly SizeSeen[];
}

export interface SizeSeen {
  readonly tokens: number;
  readonly weight: number;
}

/** GET /page/events: the data of each event. */
export interface LiveMessage {
  readonly state: string;
  /** The batches that ended since the last message; in the first message, the most recent ones. */
  readonly batches: readonly ShownBatch[];
  /** Since the start. */
  readonly totals: {
    readonly batches: number;
    readonly items: number;
    readonly tokens: number;
    /** Sum of the budgets of all batches that ran in one; eager batches have none. */
    readonly budgetTokens: number;
    /** Tokens that ran in a budget. */
    readonly budgetedTokens: number;
  };
  readonly queue: { readonly items: number; readonly tokens: number };
  /** Percentiles of the most recent values; null before the first value. */
  readonly times: {
    readonly deviceMs: Percentiles | null;
    readonly queueMs: Percentiles | null;
    readonly callMs: Percentiles | null;
  };
  /** Null if the cache is off. */
  readonly caches: { readonly output: CacheUse | null; readonly grid: CacheUse | null };
  readonly devices: readonly DeviceUse[];
}

export interface ShownBatch {
  /** Counts up from 1 over the server's life, in the order in which batches end. */
  readonly number: number;
  readonly device: number;
  readonly items: number;
  readonly tokens: number;
  /** Null if the batch ran eagerly. */
  readonly budget: number | null;
  readonly deviceMs: number;
  /** The longest wait of its items. */
  readonly queueMs: number;
  readonly outcome: "ok" | "failed" | "cancelled";
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

export interface CacheUse {
  readonly hits: number;
  readonly misses: number;
  readonly bytes: number;
  readonly capacityBytes: number;
}

export interface DeviceUse {
  readonly name: string;
  readonly state: string;
  /** Null if unknown. */
  readonly memory: { readonly usedBytes: number; readonly totalBytes: number } | null;
}
