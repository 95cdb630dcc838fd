/**
 * The entry point @vitgraph/core/observability: metrics, traces, logs and batch events of a running engine. Re-exports
 * only. prom-client, OpenTelemetry and pino are loaded by the functions that need them.
 *
 * @module @vitgraph/core/observability
 */
export { BatchEventReader, BatchEvents, type ReadOptions } from "./batch-events.js";
export { EngineLog, type EngineLogOptions } from "./engine-log.js";
export {
  EngineMetrics,
  type EngineMetricsOptions,
  type HistogramSample,
  type MetricsSnapshot,
  type Sample,
} from "./engine-metrics.js";
export { EngineTracing, type EngineTracingOptions } from "./engine-tracing.js";
export { createLogger, type Logger, type LoggerOptions, type LogLevel } from "./logger.js";
export { METRICS, type MetricDefinition, type MetricName } from "./metric-definitions.js";
export * from "./observer.js";
export {
  batchLine,
  embeddingCacheMissLine,
  embeddingCacheWarmedLine,
  graphStatsLine,
  graphsCapturedLine,
} from "./verbose-lines.js";
