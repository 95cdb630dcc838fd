/** The dashboard and the alerts ask for metrics that the server has. */
import { readFile } from "node:fs/promises";
import { EngineMetrics } from "@vitgraph/core/observability";
import { expect, test } from "vitest";
import { countRequests } from "./http-metrics.js";

test.each(["grafana-dashboard.json", "prometheus-rules.yaml"])(
  "%s names metrics that exist, and no others",
  async (name) => {
    const metrics = await EngineMetrics.create();
    countRequests(metrics, () => 0);
    const known = new Set((await metrics.registry.getMetricsAsJSON()).map((metric) => metric.name));
    const text = await readFile(new URL(`../../../deploy/${name}`, import.meta.url), "utf8");
    const asked = [...text.matchAll(/\bvitgraph_[a-z_]+/g)].map(([metric]) => metric.replace(/_bucket$/, ""));
    expect(asked.length).toBeGreaterThan(3);
    expect(asked.filter((metric) => !known.has(metric))).toEqual([]);
  },
);

test("the dashboard is JSON with panels that have queries", async () => {
  const text = await readFile(new URL("../../../deploy/grafana-dashboard.json", import.meta.url), "utf8");
  const { panels } = JSON.parse(text) as { panels: readonly { targets: readonly { expr: string }[] }[] };
  for (const { targets } of panels) expect(targets.length).toBeGreaterThan(0);
});

test("the dashboard shows the requests of each route that serves: embeddings, chat and the gateway's", async () => {
  const text = await readFile(new URL("../../../deploy/grafana-dashboard.json", import.meta.url), "utf8");
  const patterns = [...text.matchAll(/route=~\\"([^"\\]+)\\"/g)].map(
    ([, pattern]) => new RegExp(`^(${pattern})$`),
  );
  expect(patterns).toHaveLength(3);
  for (const pattern of patterns) {
    for (const route of ["/v1/embeddings", "/v1/chat/completions", "/*"]) expect(route).toMatch(pattern);
    for (const route of ["/health", "/metrics", "/page/events"]) expect(route).not.toMatch(pattern);
  }
});
