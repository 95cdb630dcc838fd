/** A server on loopback in front of a real engine with a very small model, for tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EncoderEngine, type EncoderEngineOptions, loadModel } from "@vitgraph/core";
import { EngineMetrics } from "@vitgraph/core/observability";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import type { FastifyInstance } from "fastify";
import sharp from "sharp";
import { createServer, type ServerOptions } from "../src/index.js";

export interface TestEngine extends AsyncDisposable {
  readonly engine: EncoderEngine;
  readonly metrics: EngineMetrics;
}

/** On the CPU backend, without an output cache unless `options` give one. An image becomes one token for 4 × 4 pixels. */
export async function openTestEngine(options: Partial<EncoderEngineOptions> = {}): Promise<TestEngine> {
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
  const model = await loadModel(directory, { mmProcessorKwargs: { min_pixels: 16, max_pixels: 4096 } });
  const metrics = await EngineMetrics.create();
  const engine = await EncoderEngine.create({
    model,
    devices: [{ backend: "cpu", threads: 1 }],
    outputCacheBytes: 0,
    ...options,
    observers: [metrics, ...(options.observers ?? [])],
  });
  return {
    engine,
    metrics,
    async [Symbol.asyncDispose]() {
      await engine.close();
      await model[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

export interface TestServer extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly url: string;
  readonly port: number;
  /** POST /v1/embeddings with a JSON body. */
  embed(body: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** POST /v1/chat/completions with a JSON body. */
  chat(body: unknown, init?: RequestInit): Promise<Response>;
}

/** @param register adds routes before the server listens */
export async function serve(
  options: ServerOptions,
  register: (app: FastifyInstance) => void = () => {},
): Promise<TestServer> {
  const app = await createServer({ modelName: "tiny", ...options });
  register(app);
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const post = (path: string, body: unknown, { headers, ...init }: RequestInit = {}) =>
    fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
    });
  return {
    app,
    url,
    port,
    embed: (body, headers = {}) => post("/v1/embeddings", body, { headers }),
    chat: (body, init) => post("/v1/chat/completions", body, init),
    async [Symbol.asyncDispose]() {
      await app.close();
    },
  };
}

/** Sends bytes as they are, and resolves with everything that came back when the connection is closed. */
export async function sendRaw(
  port: number,
  request: string | Uint8Array,
  onOpen: (socket: Socket) => void = () => {},
): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk;
  });
  socket.on("error", () => {});
  socket.write(request);
  onOpen(socket);
  // `once` of node:events would reject when the connection is reset.
  await new Promise((resolve) => socket.once("close", resolve));
  return answer;
}

/** A PNG of one colour. */
export function png(width: number, height: number, red = 200): Promise<Buffer> {
  const background = { r: red, g: 30, b: 60 };
  return sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer();
}

export function dataUrl(image: Uint8Array): string {
  return `data:image/png;base64,${Buffer.from(image).toString("base64")}`;
}

/** The error object of an answer. */
export async function errorOf(response: Response) {
  const { error } = (await response.json()) as {
    error: { message: string; type: string; param: string | null; code: string; remedy: string | null };
  };
  return { status: response.status, ...error };
}
