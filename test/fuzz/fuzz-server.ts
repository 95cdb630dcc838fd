/**
 * The HTTP server in front of an engine that takes any bytes for an image, for the targets of what the server parses. Requests
 * are injected: the parser of HTTP itself is Node's.
 */
import { Embedding } from "@vitgraph/core";
import { EngineMetrics } from "@vitgraph/core/observability";
import { createServer, type ServedEngine, type ServerOptions } from "@vitgraph/server";

/** Shape and values of an image's embedding. */
export interface FuzzShape {
  readonly tokens: number;
  readonly columns: number;
  readonly dtype: "f32" | "bf16";
  readonly bytes: Uint8Array;
}

const COLUMNS = 8;
const ONE_ROW: FuzzShape = { tokens: 1, columns: COLUMNS, dtype: "f32", bytes: new Uint8Array(4 * COLUMNS) };

export interface FuzzAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  /** The images that the engine was given. */
  readonly images: readonly Buffer[];
}

export interface FuzzRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

const MAX_MESSAGE_LENGTH = 2000;

/**
 * A function that posts to /v1/embeddings, and throws where an answer is no 200 and no refusal, a refusal has no bounded
 * error object, or memory is still held afterwards.
 * @param shape of all embeddings
 */
export async function openFuzzServer(
  options: Partial<ServerOptions> = {},
): Promise<(request: FuzzRequest, shape?: FuzzShape) => Promise<FuzzAnswer>> {
  let images: Buffer[] = [];
  let shape = ONE_ROW;
  const batch = { index: 0, items: 1, tokens: 1, budget: null, padding: 0, durationMs: 0 };
  const engine: ServedEngine = {
    model: { name: "fuzz", vision: { outputColumns: [COLUMNS] } },
    state: "ready",
    async encode(items, options = {}) {
      options.onItemSpecs?.(
        items.map(() => ({ status: "fulfilled", value: { inputSize: 1, outputTokens: shape.tokens } })),
      );
      images = items.map((item) => Buffer.from((item as { readonly image: Uint8Array }).image));
      const grid = { t: 1, h: 1, w: shape.tokens };
      return items.map(() => ({ status: "fulfilled", value: new Embedding({ ...shape, grid, batch }) }));
    },
    async *encodeEach(items, options) {
      for (const [index, outcome] of (await engine.encode(items, options)).entries())
        yield { index, outcome };
    },
  };
  const metrics = await EngineMetrics.create();
  const app = await createServer({ engine, metrics, ...options });
  return async ({ headers, body }, given = ONE_ROW) => {
    images = [];
    shape = given;
    const {
      statusCode,
      headers: answered,
      rawPayload,
    } = await app.inject({
      method: "POST",
      url: "/v1/embeddings",
      headers: { host: "localhost", ...headers },
      payload: body,
    });
    if (statusCode !== 200) checkRefusal(statusCode, rawPayload.toString());
    const held = await metrics.registry.getSingleMetric("vitgraph_http_request_memory_bytes")?.get();
    if (held?.values[0]?.value !== 0) throw new Error(`${held?.values[0]?.value} bytes are held`);
    return { status: statusCode, headers: answered, body: rawPayload, images };
  };
}

function checkRefusal(status: number, text: string): void {
  const { code, message } = (JSON.parse(text) as { error: { code: string; message: string } }).error;
  if (status < 400 || status >= 500 || !/^VG_[A-Z_]+$/.test(code)) throw new Error(`${status}: ${text}`);
  if (message.length > MAX_MESSAGE_LENGTH) throw new Error(`a message of ${message.length} characters`);
}
