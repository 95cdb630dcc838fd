/**
 * OpenTelemetry spans: `vitgraph.encode` for a call, within the caller's trace, and `vitgraph.batch` for a batch.
 *
 * A batch often serves several calls, and a span has one parent. So such a batch is a separate trace with links to the
 * calls; a batch of one call is its child. Without a registered OpenTelemetry SDK, spans are empty and cost next to
 * nothing.
 */
import type { Attributes, Span, TracerProvider } from "@opentelemetry/api";
import { loadOptional } from "../optional-package.js";
import type {
  BatchEvent,
  BatchStart,
  EncodeCall,
  EncodeCallEnded,
  EngineObserver,
  EngineState,
} from "./observer.js";

/** The provider of the tracer. */
export interface EngineTracingOptions {
  /** Default: the process's registered provider. */
  readonly tracerProvider?: TracerProvider;
}

type OpenTelemetry = typeof import("@opentelemetry/api");

/** OpenTelemetry spans of calls and batches. An observer; `EngineTracing.create` makes it. */
export class EngineTracing implements EngineObserver {
  readonly #otel: OpenTelemetry;
  readonly #provider: TracerProvider;
  readonly #calls = new Map<number, Span>();
  readonly #batches = new Map<number, Span>();

  /** @throws VG_PACKAGE_UNAVAILABLE without @opentelemetry/api */
  static async create({ tracerProvider }: EngineTracingOptions = {}): Promise<EngineTracing> {
    const otel = await loadOptional("@opentelemetry/api", "tracing", () => import("@opentelemetry/api"));
    return new EngineTracing(otel, tracerProvider ?? otel.trace.getTracerProvider());
  }

  private constructor(otel: OpenTelemetry, provider: TracerProvider) {
    this.#otel = otel;
    this.#provider = provider;
  }

  callStarted({ id, items }: EncodeCall): void {
    this.#calls.set(
      id,
      this.#tracer.startSpan(
        "vitgraph.encode",
        { attributes: { "vitgraph.items": items } },
        this.#otel.context.active(),
      ),
    );
  }

  callEnded({ id, fulfilled, rejected }: EncodeCallEnded): void {
    const span = this.#calls.get(id);
    this.#calls.delete(id);
    span?.setAttributes({ "vitgraph.items.fulfilled": fulfilled, "vitgraph.items.rejected": rejected });
    // An item fails alone; a call has failed if all of its items have.
    if (rejected > 0 && fulfilled === 0) span?.setStatus({ code: this.#otel.SpanStatusCode.ERROR });
    span?.end();
  }

  batchStarted(batch: BatchStart): void {
    const { ROOT_CONTEXT, trace } = this.#otel;
    const callers = (batch.calls ?? []).flatMap((id) => this.#calls.get(id) ?? []);
    const [first] = callers;
    const attributes = startAttributes(batch);
    const span =
      first !== undefined && callers.length === 1
        ? this.#tracer.startSpan("vitgraph.batch", { attributes }, trace.setSpan(ROOT_CONTEXT, first))
        : this.#tracer.startSpan(
            "vitgraph.batch",
            { attributes, root: true, links: callers.map((caller) => ({ context: caller.spanContext() })) },
            ROOT_CONTEXT,
          );
    this.#batches.set(batch.index, span);
  }

  batchEnded({ index, deviceMs, wallMs, outcome }: BatchEvent): void {
    const span = this.#batches.get(index);
    this.#batches.delete(index);
    span?.setAttributes({
      "vitgraph.batch.device_ms": deviceMs,
      "vitgraph.batch.wall_ms": wallMs,
    });
    if (outcome === "failed") span?.setStatus({ code: this.#otel.SpanStatusCode.ERROR });
    span?.end();
  }

  /** Ends the open spans: no other event would. */
  stateChanged(state: EngineState): void {
    if (state !== "closed") return;
    for (const span of [...this.#batches.values(), ...this.#calls.values()]) span.end();
    this.#batches.clear();
    this.#calls.clear();
  }

  /** Looked up each time, so that an SDK registered later is used. */
  get #tracer() {
    return this.#provider.getTracer("@vitgraph/core");
  }
}

function startAttributes({ index, device, items, tokens, budget, padding, queueMs }: BatchStart): Attributes {
  return {
    "vitgraph.batch.index": index,
    "vitgraph.batch.device": device,
    "vitgraph.batch.items": items,
    "vitgraph.batch.tokens": tokens,
    "vitgraph.batch.budget": budget ?? "eager",
    "vitgraph.batch.padding": padding,
    "vitgraph.batch.queue_ms.max": Math.max(0, ...queueMs),
  };
}
