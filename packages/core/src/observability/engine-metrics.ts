/**
 * An engine's metrics: an observer that fills the table of metrics, as plain data and as Prometheus text.
 *
 * Some metrics are updated by events. Others are read from the engine on demand (the queue's length, a cache's bytes), so
 * that the queue need not report its length at every step.
 */
import type { Counter, Gauge, Histogram, Registry } from "prom-client";
import { loadOptional } from "../optional-package.js";
import {
  type LabelsOf,
  METRICS,
  type MetricDefinition,
  type MetricName,
  type MetricNameOf,
} from "./metric-definitions.js";
import type {
  BatchEvent,
  BatchStart,
  CacheFigures,
  EncodeCallEnded,
  EngineFigures,
  EngineObserver,
  EngineState,
  GraphFailed,
  ItemPrepared,
  ItemSettled,
} from "./observer.js";

/** The registry of the metrics. */
export interface EngineMetricsOptions {
  /** The host's registry, to which the metrics are added. Default: a new one. */
  readonly registry?: Registry;
}

/** The value of a counter or gauge with one set of labels. */
export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** The values of a histogram with one set of labels. */
export interface HistogramSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly count: number;
  readonly sum: number;
  /** Cumulative: the number of values of at most `le`. The last `le` is "+Inf". */
  readonly buckets: readonly { readonly le: number | "+Inf"; readonly count: number }[];
}

/** All metrics as JSON data. */
export type MetricsSnapshot = {
  readonly [Name in MetricName]: {
    readonly type: (typeof METRICS)[Name]["type"];
    readonly unit: string;
    readonly help: string;
    readonly samples: readonly (Name extends MetricNameOf<"histogram"> ? HistogramSample : Sample)[];
  };
};

/** Before the engine is ready. */
const NO_FIGURES: EngineFigures = {
  graphHits: 0,
  graphMisses: 0,
  hitRate: 0,
  numBudgets: 0,
  tokenBudgets: [],
  paddingByBudget: {},
  queue: { items: 0, tokens: 0 },
  devices: [],
};
const ENGINE_STATES = [
  "loading",
  "warming",
  "ready",
  "draining",
  "closed",
  "failed",
] as const satisfies EngineState[];

type Prometheus = typeof import("prom-client");
type Metric = Counter | Gauge | Histogram;

/**
 * The metrics of {@link METRICS}, as Prometheus text and as plain data. An observer; `EngineMetrics.create` makes it.
 */
export class EngineMetrics implements EngineObserver {
  readonly registry: Registry;
  readonly #metrics: ReadonlyMap<MetricName, Metric>;
  readonly #inFlight = new Map<number, number>();
  #figures: () => EngineFigures = () => NO_FIGURES;
  #hits = 0;
  #misses = 0;

  /** @throws VG_PACKAGE_UNAVAILABLE without prom-client */
  static async create({ registry }: EngineMetricsOptions = {}): Promise<EngineMetrics> {
    const prometheus = await loadOptional("prom-client", "the metrics registry", () => import("prom-client"));
    return new EngineMetrics(prometheus, registry ?? new prometheus.Registry());
  }

  private constructor(prometheus: Prometheus, registry: Registry) {
    this.registry = registry;
    this.#metrics = new Map(
      Object.entries(METRICS).map(([name, definition]) => [
        name as MetricName,
        this.#create(prometheus, name as MetricName, definition),
      ]),
    );
    this.stateChanged("loading");
  }

  watch(figures: () => EngineFigures): void {
    this.#figures = figures;
  }

  /** All metrics with their present values, as plain data. */
  async snapshot(): Promise<MetricsSnapshot> {
    const entries = await Promise.all(
      [...this.#metrics].map(async ([name, metric]) => {
        const { type, unit, help } = METRICS[name];
        const { values } = (await metric.get()) as { values: readonly RawSample[] };
        const samples = type === "histogram" ? histogramSamples(values) : values.map(plainSample);
        return [name, { type, unit, help, samples }] as const;
      }),
    );
    return Object.fromEntries(entries) as unknown as MetricsSnapshot;
  }

  /** The registry's metrics in Prometheus' text format 0.0.4; its media type is {@link contentType}. */
  prometheus(): Promise<string> {
    return this.registry.metrics();
  }

  /** The media type of {@link prometheus}. */
  get contentType(): string {
    return this.registry.contentType;
  }

  callEnded({ wallMs }: EncodeCallEnded): void {
    this.#observe("vitgraph_encode_seconds", {}, wallMs / 1000);
  }

  itemsArrived(count: number): void {
    this.#count("vitgraph_items_arrived_total", {}, count);
  }

  itemSettled({ outcome, code, source }: ItemSettled): void {
    this.#count("vitgraph_items_total", { outcome, source }, 1);
    if (code !== undefined) this.#count("vitgraph_item_failures_total", { code }, 1);
  }

  prepared({ durationMs, kind }: ItemPrepared): void {
    this.#observe("vitgraph_prepare_seconds", { kind }, durationMs / 1000);
  }

  batchStarted({ device }: BatchStart): void {
    this.#setInFlight(device, 1);
  }

  batchEnded(event: BatchEvent): void {
    const { device, outcome, queueMs, wallMs } = event;
    this.#setInFlight(device, -1);
    this.#count("vitgraph_batches_total", { device, outcome }, 1);
    for (const waitedMs of queueMs) this.#observe("vitgraph_queue_seconds", {}, waitedMs / 1000);
    this.#observe("vitgraph_batch_seconds", { device }, wallMs / 1000);
    if (outcome === "ok") this.#ran(event);
  }

  graphFailed({ device, budget }: GraphFailed): void {
    this.#count("vitgraph_graph_failures_total", { device, budget }, 1);
  }

  stateChanged(state: EngineState): void {
    for (const other of ENGINE_STATES)
      this.#set("vitgraph_engine_state", { state: other }, other === state ? 1 : 0);
  }

  #setInFlight(device: number, change: 1 | -1): void {
    const inFlight = (this.#inFlight.get(device) ?? 0) + change;
    this.#inFlight.set(device, inFlight);
    this.#set("vitgraph_batches_in_flight", { device }, inFlight);
  }

  #ran({ device, items, tokens, budget, padding, deviceMs }: BatchEvent): void {
    const labels = { device, budget: budget ?? "eager" };
    this.#count("vitgraph_tokens_total", labels, tokens);
    this.#observe("vitgraph_device_seconds", labels, deviceMs / 1000);
    this.#countHits(budget === null ? 0 : items, budget === null ? items : 0);
    if (budget === null) return;
    this.#count("vitgraph_budget_tokens_total", labels, budget);
    this.#observe("vitgraph_padding_ratio", { budget }, padding);
  }

  #countHits(hits: number, misses: number): void {
    this.#hits += hits;
    this.#misses += misses;
    this.#count("vitgraph_graph_hits_total", {}, hits);
    this.#count("vitgraph_graph_misses_total", {}, misses);
    this.#set("vitgraph_graph_hit_ratio", {}, this.#hitRate());
  }

  #hitRate(): number {
    const items = this.#hits + this.#misses;
    return items === 0 ? 0 : this.#hits / items;
  }

  #create(
    prometheus: Prometheus,
    name: MetricName,
    { type, help, labels, buckets = [] }: MetricDefinition,
  ): Metric {
    const { registry } = this;
    const common = { name, help, labelNames: [...labels], registers: [registry] };
    if (type === "histogram") return new prometheus.Histogram({ ...common, buckets: [...buckets] });
    const read = READ_FROM_FIGURES[name];
    const figures = () => this.#figures();
    const collect =
      read === undefined
        ? {}
        : {
            collect(this: Counter | Gauge): void {
              this.reset();
              for (const { labels, value } of read(figures())) this.inc(labels, value);
            },
          };
    return type === "counter"
      ? new prometheus.Counter({ ...common, ...collect })
      : new prometheus.Gauge({ ...common, ...collect });
  }

  #count<Name extends MetricNameOf<"counter">>(name: Name, labels: LabelsOf<Name>, by: number): void {
    (this.#metrics.get(name) as Counter).inc({ ...labels }, by);
  }

  #observe<Name extends MetricNameOf<"histogram">>(name: Name, labels: LabelsOf<Name>, value: number): void {
    (this.#metrics.get(name) as Histogram).observe({ ...labels }, value);
  }

  #set<Name extends MetricNameOf<"gauge">>(name: Name, labels: LabelsOf<Name>, value: number): void {
    (this.#metrics.get(name) as Gauge).set({ ...labels }, value);
  }
}

/** The metrics that are read on demand. */
const READ_FROM_FIGURES: Readonly<
  Partial<Record<MetricName, (figures: EngineFigures) => readonly Sample[]>>
> = {
  vitgraph_queued_items: ({ queue }) => [{ labels: {}, value: queue.items }],
  vitgraph_queued_tokens: ({ queue }) => [{ labels: {}, value: queue.tokens }],
  vitgraph_devices_up: ({ devices }) => [
    { labels: {}, value: devices.filter(({ state }) => state === "up").length },
  ],
  vitgraph_num_budgets: ({ tokenBudgets }) => [{ labels: {}, value: tokenBudgets.length }],
  vitgraph_token_budget: ({ tokenBudgets }) =>
    tokenBudgets.map((budget) => ({ labels: { budget }, value: 1 })),
  vitgraph_cache_hits_total: ofCaches("hits"),
  vitgraph_cache_misses_total: ofCaches("misses"),
  vitgraph_cache_joined_total: ofCaches("joined"),
  vitgraph_cache_evictions_total: ofCaches("evictions"),
  vitgraph_cache_entries: ofCaches("entries"),
  vitgraph_cache_bytes: ofCaches("bytes"),
  vitgraph_cache_capacity_bytes: ofCaches("capacityBytes"),
};

function ofCaches(figure: keyof CacheFigures) {
  return ({ outputCache, gridCache }: EngineFigures): readonly Sample[] =>
    Object.entries({ output: outputCache, grid: gridCache }).flatMap(([cache, figures]) => {
      const value = figures?.[figure];
      return value === undefined ? [] : [{ labels: { cache }, value }];
    });
}

/** A sample of the registry. A histogram's buckets, sum and count differ by name. */
interface RawSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

function plainSample({ labels, value }: RawSample): Sample {
  return { labels: { ...labels }, value };
}

/** One sample per combination of labels. The registry lists its buckets, then its sum and its count. */
function histogramSamples(values: readonly RawSample[]): readonly HistogramSample[] {
  const samples: HistogramSample[] = [];
  let buckets: { le: number | "+Inf"; count: number }[] = [];
  let sum = 0;
  for (const { labels, value, metricName = "" } of values) {
    if (metricName.endsWith("_bucket")) {
      buckets.push({ le: labels.le as number | "+Inf", count: value });
    } else if (metricName.endsWith("_sum")) {
      sum = value;
    } else {
      samples.push({ labels: { ...labels }, count: value, sum, buckets });
      buckets = [];
    }
  }
  return samples;
}
