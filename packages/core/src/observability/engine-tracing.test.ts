import { context, ROOT_CONTEXT, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EngineTracing } from "./engine-tracing.js";
import type { BatchStart } from "./observer.js";

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});
afterAll(() => {
  context.disable();
  trace.disable();
});

async function traced() {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const span = (name: string): ReadableSpan => {
    const found = exporter.getFinishedSpans().find((span) => span.name === name);
    return found ?? expect.unreachable(`no span ${name} has ended`);
  };
  return { exporter, tracerProvider, span, tracing: await EngineTracing.create({ tracerProvider }) };
}

const start = (calls?: readonly number[]): BatchStart => ({
  index: 4,
  device: 1,
  items: 2,
  tokens: 96,
  budget: 128,
  padding: 0.25,
  itemTokens: [32, 64],
  queueMs: [3, 5],
  ...(calls === undefined ? {} : { calls }),
});
const end = (calls?: readonly number[], outcome: "ok" | "failed" = "ok") => ({
  ...start(calls),
  deviceMs: 7,
  wallMs: 9,
  outcome,
});

test("a call is a span of the caller's trace, with what became of its items", async () => {
  const { tracing, tracerProvider, span } = await traced();
  const request = tracerProvider.getTracer("host").startSpan("request");
  context.with(trace.setSpan(ROOT_CONTEXT, request), () => tracing.callStarted({ id: 1, items: 3 }));
  tracing.callEnded({ id: 1, items: 3, fulfilled: 2, rejected: 1, wallMs: 8 });
  const call = span("vitgraph.encode");
  expect(call.parentSpanContext?.spanId).toBe(request.spanContext().spanId);
  expect(call.attributes).toEqual({
    "vitgraph.items": 3,
    "vitgraph.items.fulfilled": 2,
    "vitgraph.items.rejected": 1,
  });
  expect(call.status.code).toBe(SpanStatusCode.UNSET);
});

test("a call of which nothing came through has failed", async () => {
  const { tracing, span } = await traced();
  tracing.callStarted({ id: 1, items: 1 });
  tracing.callEnded({ id: 1, items: 1, fulfilled: 0, rejected: 1, wallMs: 1 });
  expect(span("vitgraph.encode").status.code).toBe(SpanStatusCode.ERROR);
});

test("a batch of one call is its child, and says what ran", async () => {
  const { tracing, span } = await traced();
  tracing.callStarted({ id: 1, items: 2 });
  tracing.batchStarted(start([1]));
  tracing.batchEnded(end([1]));
  tracing.callEnded({ id: 1, items: 2, fulfilled: 2, rejected: 0, wallMs: 12 });
  const batch = span("vitgraph.batch");
  expect(batch.parentSpanContext?.spanId).toBe(span("vitgraph.encode").spanContext().spanId);
  expect(batch.links).toEqual([]);
  expect(batch.attributes).toEqual({
    "vitgraph.batch.index": 4,
    "vitgraph.batch.device": 1,
    "vitgraph.batch.items": 2,
    "vitgraph.batch.tokens": 96,
    "vitgraph.batch.budget": 128,
    "vitgraph.batch.padding": 0.25,
    "vitgraph.batch.queue_ms.max": 5,
    "vitgraph.batch.device_ms": 7,
    "vitgraph.batch.wall_ms": 9,
  });
});

test("a batch of several calls is a trace of its own that links to each", async () => {
  const { tracing, span, exporter } = await traced();
  tracing.callStarted({ id: 1, items: 1 });
  tracing.callStarted({ id: 2, items: 1 });
  tracing.batchStarted(start([1, 2]));
  tracing.batchEnded(end([1, 2], "failed"));
  for (const id of [1, 2]) tracing.callEnded({ id, items: 1, fulfilled: 0, rejected: 1, wallMs: 1 });
  const batch = span("vitgraph.batch");
  expect(batch.parentSpanContext).toBeUndefined();
  const calls = exporter.getFinishedSpans().filter(({ name }) => name === "vitgraph.encode");
  expect(batch.links.map((link) => link.context.spanId)).toEqual(
    calls.map((call) => call.spanContext().spanId),
  );
  expect(batch.status.code).toBe(SpanStatusCode.ERROR);
});

test("a batch of which nobody knows the calls stands alone", async () => {
  const { tracing, span } = await traced();
  tracing.batchStarted(start());
  tracing.batchEnded(end());
  expect(span("vitgraph.batch")).toMatchObject({ parentSpanContext: undefined, links: [] });
});

test("closing the engine ends what is open", async () => {
  const { tracing, exporter } = await traced();
  tracing.callStarted({ id: 1, items: 1 });
  tracing.batchStarted(start([1]));
  tracing.stateChanged("closed");
  expect(exporter.getFinishedSpans()).toHaveLength(2);
});

test("without an SDK nothing happens, and an SDK that is registered later is used", async () => {
  const tracing = await EngineTracing.create();
  tracing.callStarted({ id: 1, items: 1 });
  tracing.callEnded({ id: 1, items: 1, fulfilled: 1, rejected: 0, wallMs: 1 });
  const { tracerProvider, exporter } = await traced();
  trace.setGlobalTracerProvider(tracerProvider);
  tracing.callStarted({ id: 2, items: 1 });
  tracing.callEnded({ id: 2, items: 1, fulfilled: 1, rejected: 0, wallMs: 1 });
  expect(exporter.getFinishedSpans()).toHaveLength(1);
});
