import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { parsePrometheus } from "../../test/parse-prometheus.js";
import { EngineMetrics, type EngineMetricsOptions } from "./engine-metrics.js";
import { METRICS, type MetricDefinition } from "./metric-definitions.js";
import type { BatchEvent } from "./observer.js";

function batch(fields: Partial<BatchEvent> = {}): BatchEvent {
  return {
    index: 0,
    device: 0,
    items: 2,
    tokens: 48,
    budget: 64,
    padding: 0.25,
    itemTokens: [16, 32],
    queueMs: [4, 20],
    deviceMs: 7,
    wallMs: 11,
    outcome: "ok",
    ...fields,
  };
}

/** An engine's morning. */
async function used(options: EngineMetricsOptions = {}): Promise<EngineMetrics> {
  const metrics = await EngineMetrics.create(options);
  metrics.stateChanged("ready");
  metrics.itemsArrived(5);
  for (const kind of ["image", "image", "frames"] as const) metrics.prepared({ durationMs: 30, kind });
  for (const event of [batch(), batch({ index: 1, budget: null, padding: 0, items: 1, tokens: 16 })]) {
    metrics.batchStarted(event);
    metrics.batchEnded(event);
  }
  metrics.batchStarted(batch({ index: 2, device: 1 }));
  for (const _ of [1, 2, 3]) metrics.itemSettled({ outcome: "fulfilled", source: "device" });
  metrics.itemSettled({ outcome: "fulfilled", source: "output_cache" });
  metrics.itemSettled({ outcome: "rejected", source: "refused", code: "VG_IMAGE_INVALID" });
  metrics.callEnded({ id: 0, items: 5, fulfilled: 4, rejected: 1, wallMs: 40 });
  metrics.graphFailed({ device: 0, budget: 128, relativeL2: 0.5 });
  metrics.watch(() => ({
    graphHits: 2,
    graphMisses: 1,
    hitRate: 2 / 3,
    numBudgets: 2,
    tokenBudgets: [64, 256],
    paddingByBudget: { 64: 0.25 },
    queue: { items: 7, tokens: 900 },
    devices: [{ state: "up" }, { state: "recovering" }],
    outputCache: {
      hits: 1,
      misses: 4,
      joined: 2,
      evictions: 3,
      entries: 1,
      bytes: 100,
      capacityBytes: 1000,
    },
    gridCache: { hits: 9, misses: 2, evictions: 0, entries: 2, bytes: 50, capacityBytes: 500 },
  }));
  return metrics;
}

describe("the table", () => {
  test.each(Object.entries<MetricDefinition>(METRICS))("%s keeps Prometheus' customs", (name, definition) => {
    const { type, unit, labels, buckets, help } = definition;
    expect(name).toMatch(/^vitgraph_[a-z_]+[a-z]$/);
    expect(name.endsWith("_total")).toBe(type === "counter");
    if (["seconds", "bytes", "ratio"].includes(unit))
      expect(name.replace(/_total$/, "")).toMatch(new RegExp(`_${unit}$`));
    for (const label of labels) expect(label).toMatch(/^[a-z_]+$/);
    expect(labels).not.toContain("le");
    expect(buckets !== undefined).toBe(type === "histogram");
    expect(buckets ?? []).toEqual([...(buckets ?? [])].sort((a, b) => a - b));
    expect(help).toMatch(/^(\d|[A-Z]).*\.$/);
  });
});

describe("Prometheus text", () => {
  test("a strict reader takes it, and finds every metric of the table with its type and help", async () => {
    const metrics = await used();
    const parsed = parsePrometheus(await metrics.prometheus());
    expect(metrics.contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect([...parsed.keys()].sort()).toEqual(Object.keys(METRICS).sort());
    for (const [name, { type, help, samples }] of parsed) {
      const definition: MetricDefinition = METRICS[name as keyof typeof METRICS];
      expect({ type, help }).toEqual({ type: definition.type, help: definition.help });
      expect(samples, name).not.toHaveLength(0);
      for (const { labels } of samples) {
        const { le: _, ...own } = labels;
        expect(Object.keys(own).sort()).toEqual([...definition.labels].sort());
      }
    }
  });

  test.each([
    ["vitgraph_items_arrived_total", {}, 5],
    ["vitgraph_items_total", { outcome: "fulfilled", source: "device" }, 3],
    ["vitgraph_items_total", { outcome: "fulfilled", source: "output_cache" }, 1],
    ["vitgraph_item_failures_total", { code: "VG_IMAGE_INVALID" }, 1],
    ["vitgraph_batches_total", { device: "0", outcome: "ok" }, 2],
    ["vitgraph_tokens_total", { device: "0", budget: "64" }, 48],
    ["vitgraph_tokens_total", { device: "0", budget: "eager" }, 16],
    ["vitgraph_budget_tokens_total", { device: "0", budget: "64" }, 64],
    ["vitgraph_graph_hit_ratio", {}, 2 / 3],
    ["vitgraph_graph_failures_total", { device: "0", budget: "128" }, 1],
    ["vitgraph_num_budgets", {}, 2],
    ["vitgraph_token_budget", { budget: "256" }, 1],
    ["vitgraph_cache_hits_total", { cache: "output" }, 1],
    ["vitgraph_cache_hits_total", { cache: "grid" }, 9],
    ["vitgraph_cache_joined_total", { cache: "output" }, 2],
    ["vitgraph_cache_capacity_bytes", { cache: "grid" }, 500],
    ["vitgraph_queued_items", {}, 7],
    ["vitgraph_queued_tokens", {}, 900],
    ["vitgraph_batches_in_flight", { device: "0" }, 0],
    ["vitgraph_batches_in_flight", { device: "1" }, 1],
    ["vitgraph_devices_up", {}, 1],
    ["vitgraph_engine_state", { state: "ready" }, 1],
    ["vitgraph_engine_state", { state: "loading" }, 0],
  ])("%s%j is %d", async (name, labels, value) => {
    const samples = parsePrometheus(await (await used()).prometheus()).get(name)?.samples;
    expect(samples).toContainEqual({ name, labels, value });
  });

  test("durations are in seconds, and buckets cumulative", async () => {
    const samples =
      parsePrometheus(await (await used()).prometheus()).get("vitgraph_queue_seconds")?.samples ?? [];
    const value = (suffix: string, le?: string) =>
      samples.find(({ name, labels }) => name.endsWith(suffix) && labels.le === le)?.value;
    // Both batches had items that waited for 4 and 20 ms.
    expect(value("_bucket", "0.0025")).toBe(0);
    expect(value("_bucket", "0.005")).toBe(2);
    expect(value("_bucket", "0.025")).toBe(4);
    expect(value("_bucket", "+Inf")).toBe(4);
    expect(value("_count")).toBe(4);
    expect(value("_sum")).toBeCloseTo(0.048, 10);
  });

  test("what a cache no longer counts is not counted on, however often one looks", async () => {
    const metrics = await used();
    await metrics.prometheus();
    const samples = parsePrometheus(await metrics.prometheus()).get("vitgraph_cache_misses_total")?.samples;
    expect(samples).toContainEqual({
      name: "vitgraph_cache_misses_total",
      labels: { cache: "output" },
      value: 4,
    });
  });

  test("a host's registry holds these metrics beside its own", async () => {
    const registry = new Registry();
    const metrics = await used({ registry });
    expect(await registry.metrics()).toBe(await metrics.prometheus());
  });

  test("the reader of this test refuses what a scraper would", () => {
    const counter = '# HELP a_total A.\n# TYPE a_total counter\na_total{b="c"} 1\n';
    expect(parsePrometheus(counter).get("a_total")?.samples).toHaveLength(1);
    expect(() => parsePrometheus(counter.replace('"c"', '"c"d"'))).toThrow("no label");
    expect(() => parsePrometheus(counter.replace(" 1", " one"))).toThrow("no number");
    expect(() => parsePrometheus(counter + counter)).toThrow("second HELP");
    const histogram =
      '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 3\nh_sum 9\nh_count 3\n';
    expect(() => parsePrometheus(histogram)).not.toThrow();
    expect(() => parsePrometheus(histogram.replace('"1"} 2', '"1"} 4'))).toThrow("not cumulative");
    expect(() => parsePrometheus(histogram.replace("h_count 3", "h_count 4"))).toThrow("_count");
    expect(() => parsePrometheus(histogram.replace('h_bucket{le="+Inf"} 3\n', ""))).toThrow("+Inf");
  });

  test("labels with quotes, backslashes and line breaks arrive as they were", async () => {
    const registry = new Registry();
    const metrics = await EngineMetrics.create({ registry });
    const code = 'a "quoted"\\back\nline' as never;
    metrics.itemSettled({ outcome: "rejected", source: "refused", code });
    const samples = parsePrometheus(await metrics.prometheus()).get("vitgraph_item_failures_total")?.samples;
    expect(samples?.map(({ labels }) => labels.code)).toEqual([code]);
  });
});

describe("the snapshot", () => {
  test("is plain data, the same that the text says", async () => {
    const metrics = await used();
    const snapshot = await metrics.snapshot();
    expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
    const parsed = parsePrometheus(await metrics.prometheus());
    for (const [name, { samples, type, unit }] of Object.entries(snapshot)) {
      expect(unit).toBe(METRICS[name as keyof typeof METRICS].unit);
      const text = parsed.get(name)?.samples ?? [];
      const plain = (labels: object) =>
        Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, String(value)]));
      for (const sample of samples) {
        if (type !== "histogram") {
          expect(text).toContainEqual({
            name,
            labels: plain(sample.labels),
            value: (sample as { value: number }).value,
          });
          continue;
        }
        const { labels, count, sum, buckets } = sample as Extract<typeof sample, { count: number }>;
        expect(text).toContainEqual({ name: `${name}_count`, labels: plain(labels), value: count });
        expect(text).toContainEqual({ name: `${name}_sum`, labels: plain(labels), value: sum });
        for (const { le, count } of buckets) {
          expect(text).toContainEqual({
            name: `${name}_bucket`,
            labels: plain({ ...labels, le }),
            value: count,
          });
        }
      }
    }
  });

  test("has one sample for each combination of a histogram's labels", async () => {
    const { samples, type, unit } = (await (await used()).snapshot()).vitgraph_padding_ratio;
    expect({ type, unit }).toEqual({ type: "histogram", unit: "ratio" });
    const bounds = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, "+Inf"] as const;
    const buckets = bounds.map((le, index) => ({ le, count: index < 3 ? 0 : 1 }));
    expect(samples).toEqual([{ labels: { budget: 64 }, count: 1, sum: 0.25, buckets }]);
  });
});
