/** Requests by route and status, in the registry of the engine's metrics. */
import type { EngineMetrics } from "@vitgraph/core/observability";
import { Counter, Gauge, Histogram } from "prom-client";

export type CountRequest = (route: string, status: number, durationSeconds: number) => void;

/** Buckets from a health check to the longest chat. */
const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** @param heldBytes memory that requests hold now */
export function countRequests({ registry }: EngineMetrics, heldBytes: () => number): CountRequest {
  const registers = [registry];
  const requests = new Counter({
    name: "vitgraph_http_requests_total",
    help: "HTTP requests answered, by route and status.",
    labelNames: ["route", "status"],
    registers,
  });
  const durations = new Histogram({
    name: "vitgraph_http_request_duration_seconds",
    help: "Time from a request's headers to the end of its answer.",
    labelNames: ["route"],
    buckets: SECONDS,
    registers,
  });
  new Gauge({
    name: "vitgraph_http_request_memory_bytes",
    help: "Bytes that requests hold: bodies, images, embeddings.",
    registers,
    collect() {
      this.set(heldBytes());
    },
  });
  return (route, status, seconds) => {
    requests.inc({ route, status });
    durations.observe({ route }, seconds);
  };
}
