/**
 * Every metric of an engine, in one table. Names follow Prometheus: `vitgraph_`, base units (seconds, bytes, ratios from
 * 0 to 1), `_total` for what only grows. A published name keeps its meaning and its labels.
 */

export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly unit:
    | "batches"
    | "budgets"
    | "bytes"
    | "devices"
    | "entries"
    | "items"
    | "ratio"
    | "seconds"
    | "tokens"
    | "1";
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets, ascending, in `unit`, without infinity. */
  readonly buckets?: readonly number[];
}

/** From a small image on a large GPU to a batch of large ones on two cores. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const TENTHS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/** `budget` is a number of tokens, or "eager". `device` is the position in the engine's list. */
export const METRICS = {
  vitgraph_items_arrived_total: {
    type: "counter",
    help: "Items submitted by callers.",
    unit: "items",
    labels: [],
  },
  vitgraph_items_total: {
    type: "counter",
    help: "Items settled, by outcome and source: a device, the output cache, or none (refused).",
    unit: "items",
    labels: ["outcome", "source"],
  },
  vitgraph_item_failures_total: {
    type: "counter",
    help: "Items refused or failed, by error code.",
    unit: "items",
    labels: ["code"],
  },
  vitgraph_encode_seconds: {
    type: "histogram",
    help: "From a call of encode to its last result.",
    unit: "seconds",
    labels: [],
    buckets: SECONDS,
  },
  vitgraph_prepare_seconds: {
    type: "histogram",
    help: "Decoding, resizing and cutting an item into patches.",
    unit: "seconds",
    labels: ["kind"],
    buckets: SECONDS,
  },
  vitgraph_queue_seconds: {
    type: "histogram",
    help: "How long an item waited for its batch to start.",
    unit: "seconds",
    labels: [],
    buckets: SECONDS,
  },
  vitgraph_device_seconds: {
    type: "histogram",
    help: "The device's own time for a batch.",
    unit: "seconds",
    labels: ["device", "budget"],
    buckets: SECONDS,
  },
  vitgraph_batch_seconds: {
    type: "histogram",
    help: "From submitting a batch to its device to its results.",
    unit: "seconds",
    labels: ["device"],
    buckets: SECONDS,
  },
  vitgraph_batches_total: {
    type: "counter",
    help: "Batches that ended, by device and outcome.",
    unit: "batches",
    labels: ["device", "outcome"],
  },
  vitgraph_tokens_total: {
    type: "counter",
    help: "Tokens of batches that ran, by budget: rows, or more for items with more patches than those stand for.",
    unit: "tokens",
    labels: ["device", "budget"],
  },
  vitgraph_budget_tokens_total: {
    type: "counter",
    help: "Tokens of the replayed budgets. Minus vitgraph_tokens_total, this is the padding.",
    unit: "tokens",
    labels: ["device", "budget"],
  },
  vitgraph_padding_ratio: {
    type: "histogram",
    help: "Share of a replayed budget that no item of the batch filled.",
    unit: "ratio",
    labels: ["budget"],
    buckets: TENTHS,
  },
  vitgraph_graph_hits_total: {
    type: "counter",
    help: "Items encoded by a budget's program: graph_hits of vLLM.",
    unit: "items",
    labels: [],
  },
  vitgraph_graph_misses_total: {
    type: "counter",
    help: "Items encoded eagerly: graph_misses of vLLM.",
    unit: "items",
    labels: [],
  },
  vitgraph_graph_hit_ratio: {
    type: "gauge",
    help: "Hits over hits and misses since the start: hit_rate of vLLM.",
    unit: "ratio",
    labels: [],
  },
  vitgraph_graph_failures_total: {
    type: "counter",
    help: "Graphs that differed from the eager run in their self-check and were given up.",
    unit: "1",
    labels: ["device", "budget"],
  },
  vitgraph_num_budgets: {
    type: "gauge",
    help: "Budgets that have a program: num_budgets of vLLM.",
    unit: "budgets",
    labels: [],
  },
  vitgraph_token_budget: {
    type: "gauge",
    help: "1 for each budget that has a program: token_budgets of vLLM.",
    unit: "1",
    labels: ["budget"],
  },
  vitgraph_cache_hits_total: {
    type: "counter",
    help: "Lookups that found an entry. Caches: output (embeddings), grid (rows of position embeddings).",
    unit: "1",
    labels: ["cache"],
  },
  vitgraph_cache_misses_total: {
    type: "counter",
    help: "Lookups after which the value was computed.",
    unit: "1",
    labels: ["cache"],
  },
  vitgraph_cache_joined_total: {
    type: "counter",
    help: "Lookups that joined a computation in progress.",
    unit: "1",
    labels: ["cache"],
  },
  vitgraph_cache_evictions_total: {
    type: "counter",
    help: "Entries evicted to make room for others.",
    unit: "entries",
    labels: ["cache"],
  },
  vitgraph_cache_entries: { type: "gauge", help: "Entries kept.", unit: "entries", labels: ["cache"] },
  vitgraph_cache_bytes: {
    type: "gauge",
    help: "Memory of the entries.",
    unit: "bytes",
    labels: ["cache"],
  },
  vitgraph_cache_capacity_bytes: {
    type: "gauge",
    help: "Capacity for the entries.",
    unit: "bytes",
    labels: ["cache"],
  },
  vitgraph_queued_items: {
    type: "gauge",
    help: "Items that wait for a batch.",
    unit: "items",
    labels: [],
  },
  vitgraph_queued_tokens: {
    type: "gauge",
    help: "Tokens of the items that wait for a batch.",
    unit: "tokens",
    labels: [],
  },
  vitgraph_batches_in_flight: {
    type: "gauge",
    help: "Batches submitted to a device and not yet finished.",
    unit: "batches",
    labels: ["device"],
  },
  vitgraph_devices_up: {
    type: "gauge",
    help: "Devices that take batches.",
    unit: "devices",
    labels: [],
  },
  vitgraph_engine_state: {
    type: "gauge",
    help: "1 for the state that the engine is in, 0 for the others.",
    unit: "1",
    labels: ["state"],
  },
} as const satisfies Record<`vitgraph_${string}`, MetricDefinition>;

/** The name of a metric: "vitgraph_batches_total". */
export type MetricName = keyof typeof METRICS;

/** The metrics of one type. */
export type MetricNameOf<Type extends MetricDefinition["type"]> = {
  [Name in MetricName]: (typeof METRICS)[Name]["type"] extends Type ? Name : never;
}[MetricName];

/** A value for each label of the metric. */
export type LabelsOf<Name extends MetricName> = Readonly<
  Record<(typeof METRICS)[Name]["labels"][number], string | number>
>;
