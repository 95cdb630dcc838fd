/** The gateway between OpenAI's client and a scripted upstream, which keeps every byte. */
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { EngineMetrics } from "@vitgraph/core/observability";
import OpenAI from "openai";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { readEcFile } from "../test/ec-files.js";
import {
  dataUrl,
  errorOf,
  openTestEngine,
  png,
  sendRaw,
  serve,
  type TestEngine,
  type TestServer,
} from "../test/serve.js";
import { EcStorage, ecKeyOfUrl } from "./ec-storage.js";
import type { ServedEngine, ServerOptions } from "./server-options.js";

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

type Answer = (response: http.ServerResponse, request: Received) => void;

const ANSWER: Answer = (response) => {
  response.setHeader("content-type", "application/json");
  response.end('{"object": "chat.completion", "choices": []}');
};

/** A vLLM server that keeps what it gets. `answers` come first, and then `ANSWER`. */
async function startUpstream() {
  const requests: Received[] = [];
  const answers: Answer[] = [];
  const server = http.createServer(async (request, response) => {
    const received = {
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
      body: await buffer(request),
    };
    requests.push(received);
    (answers.shift() ?? ANSWER)(response, received);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    server,
    requests,
    answers,
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

let opened: TestEngine;
let urls: readonly string[];
beforeAll(async () => {
  opened = await openTestEngine();
  urls = [dataUrl(await png(16, 8)), dataUrl(await png(8, 12, 10))];
});
afterAll(() => opened[Symbol.asyncDispose]());

let upstream: Awaited<ReturnType<typeof startUpstream>>;
let gateway: TestServer;
let lines: object[];
const open = (more: Partial<ServerOptions> = {}) => {
  const log = (fields: object, message: string) => void lines.push({ ...fields, message });
  const logger = { debug: log, info: () => {}, warn: log, error: log };
  return serve({ engine: opened.engine, gateway: { upstream: upstream.url }, logger, ...more });
};
beforeEach(async () => {
  lines = [];
  upstream = await startUpstream();
  gateway = await open();
});
afterEach(async () => {
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
});

const CHAT = "/v1/chat/completions";

function post(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = {},
) {
  return fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
}

const imagePart = (url: string) => `{ "type": "image_url", "image_url": {"url": ${JSON.stringify(url)}} }`;

/** A chat as no JSON writer would write it. */
function chatText(parts: readonly string[], more = ""): string {
  return `{"model":"m" ,\n "seed": 12345678901234567890, "temperature": 1.0,${more} "messages":[{"role":"user",\t"content":[ {"type":"text","text":"\\u00e4 \u00e4"}, ${parts.join(" , ")} ]}] , "x-unknown": 1e2}\n`;
}

/** f32 [tokens, columns] of a NumPy file. */
function readNpy(file: Buffer): { readonly shape: string; readonly values: Float32Array } {
  const end = 10 + file.readUInt16LE(8);
  const shape = /'shape': (\([^)]*\))/.exec(file.toString("latin1", 10, end))?.[1] ?? "";
  return { shape, values: new Float32Array(new Uint8Array(file.subarray(end)).buffer) };
}

async function rowsOf(url: string): Promise<Float32Array> {
  const [outcome] = await opened.engine.encode([
    { image: Buffer.from(url.slice(url.indexOf(",") + 1), "base64") },
  ]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return outcome.value.data;
}

const RANDOM = new Uint8Array(300_000).map((_, index) => (index * 7919) >> 3);

test.each([
  ["GET", "/v1/models?a=b%20c", undefined],
  ["POST", "/v1/completions", Buffer.from('{"prompt":"a", "seed":12345678901234567890 }\n')],
  ["POST", "/v1/audio/transcriptions", Buffer.from(RANDOM)],
  ["PUT", "/any/thing/../else", Buffer.from("")],
  ["DELETE", "/v1/responses/1", undefined],
  ["GET", "/", undefined],
])("%s %s passes through as it is, and so does the answer", async (method, path, body) => {
  const zipped = gzipSync("answer".repeat(1000));
  upstream.answers.push((response) => {
    response.writeHead(418, {
      "content-type": "text/x-odd",
      "content-encoding": "gzip",
      "x-one": "1",
      "set-cookie": ["a=1", "b=2"],
    });
    response.end(zipped);
  });
  const request = http.request({
    host: "127.0.0.1",
    port: gateway.port,
    // A URL object would normalise the path.
    path,
    method,
    headers: {
      "x-mine": "yes",
      authorization: "Bearer key-of-vllm",
      "content-type": "application/x-any",
      connection: "close, x-hop",
      "x-hop": "1",
    },
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  expect(await buffer(response)).toEqual(zipped);
  expect([response.statusCode, response.headers]).toMatchObject([
    418,
    { "content-type": "text/x-odd", "content-encoding": "gzip", "x-one": "1", "set-cookie": ["a=1", "b=2"] },
  ]);
  const [received] = upstream.requests;
  expect(received).toMatchObject({
    method,
    headers: { "x-mine": "yes", authorization: "Bearer key-of-vllm" },
  });
  expect(received?.headers["x-hop"]).toBeUndefined();
  expect(received?.headers.host).toBe(new URL(upstream.url).host);
  expect(received?.url).toBe(path);
  expect(received?.body.equals(body ?? Buffer.alloc(0))).toBe(true);
});

test.each(["GET", "DELETE", "OPTIONS", "PATCH", "POST"])(
  "a body of %s reaches vLLM as one, with a length and in chunks: never as a request of its own",
  async (method) => {
    const body = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    const head = `${method} /v1/any HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n`;
    const requests = [
      `${head}content-length: ${body.length}\r\n\r\n${body}`,
      `${head}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      // Connection lists content-length as a hop-by-hop header.
      `${head.replace("close", "close, content-length")}content-length: ${body.length}\r\n\r\n${body}`,
      `${head}\r\n`,
    ];
    for (const request of requests) expect(await sendRaw(gateway.port, request)).toMatch(/^HTTP\/1.1 200 /);
    const framed = ({ headers }: Received) => "content-length" in headers || "transfer-encoding" in headers;
    expect(upstream.requests.slice(0, 3).map(framed)).toEqual([true, true, true]);
    expect(upstream.requests.map(({ url, body: received }) => [url, String(received)])).toEqual([
      ["/v1/any", body],
      ["/v1/any", body],
      ["/v1/any", body],
      ["/v1/any", ""],
    ]);
  },
);

test("a chat without images passes through byte by byte", async () => {
  const text = chatText(['{"type":"text","text":"image_url"}']);
  expect((await post(CHAT, text)).status).toBe(200);
  expect(upstream.requests[0]?.body.toString()).toBe(text);
});

test("images become image_embeds parts, one an image, and all other bytes stay", async () => {
  const text = chatText([
    imagePart(urls[0]!),
    '{"type":"text","text":"and"}',
    imagePart(urls[1]!).replace("{ ", '{"uuid": "u-1", '),
  ]);
  expect((await post(CHAT, text)).status).toBe(200);
  const { body, headers } = upstream.requests[0]!;
  expect(Number(headers["content-length"])).toBe(body.length);
  const pattern =
    /\{"type":"image_embeds","image_embeds":\{"image_embeds":"([^"]*)","image_grid_thw":(\[[^\]]*\])\}(,"uuid":"u-1")?\}/g;
  const parts = [...body.toString().matchAll(pattern)];
  let restored = body.toString();
  for (const [index, [whole]] of parts.entries())
    restored = restored.replace(
      whole,
      index === 0 ? imagePart(urls[0]!) : imagePart(urls[1]!).replace("{ ", '{"uuid": "u-1", '),
    );
  expect(restored).toBe(text);
  expect(parts.map(([, , grid, uuid]) => [grid, uuid])).toEqual([
    ["[1,4,8]", undefined],
    ["[1,6,4]", ',"uuid":"u-1"'],
  ]);
  for (const [index, [, npy]] of parts.entries()) {
    const { shape, values } = readNpy(Buffer.from(npy as string, "base64"));
    expect(shape).toBe(["(8, 16)", "(6, 16)"][index]);
    expect(values).toEqual(await rowsOf(urls[index] as string));
  }
});

test("with shared storage vLLM gets the key and the grid, and finds the rows; an image is encoded once", async () => {
  const encode = vi.spyOn(opened.engine, "encode");
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  const { identity, model } = opened.engine;
  const storage = new EcStorage({ path: directory, identity, vision: model.vision });
  await using shared = await open({ gateway: { upstream: upstream.url, storage } });
  const own = imagePart(urls[1]!).replace("{ ", '{"uuid": "u-1", ');
  const unsafe = imagePart(urls[0]!).replace("{ ", '{"uuid": "../u", ');
  const text = chatText([imagePart(urls[0]!), own, unsafe]);
  for (let time = 0; time < 2; time++) {
    const response = await fetch(shared.url + CHAT, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: text,
    });
    expect(response.status).toBe(200);
  }
  const part = (grid: string, key: string) =>
    `{"type":"image_embeds","image_embeds":{"image_grid_thw":${grid}},"uuid":"${key}"}`;
  const key = ecKeyOfUrl(urls[0]!);
  const expected = chatText([part("[1,4,8]", key), part("[1,6,4]", "u-1"), part("[1,4,8]", key)]);
  expect(upstream.requests.map(({ body }) => body.toString())).toEqual([expected, expected]);
  expect((await readdir(directory)).sort()).toEqual([key, "u-1"].sort());
  expect((await readEcFile(directory, key)).shape).toEqual([8, 16]);
  expect(encode.mock.calls.flatMap(([items]) => items)).toHaveLength(2);
  encode.mockRestore();
  await rm(directory, { recursive: true });
});

test.each([
  ["a URL that the gateway does not fetch", [imagePart("https://images.test/a.png")], ""],
  ["bytes that are no image", [imagePart("data:image/png;base64,AAAA")], ""],
  ["one image of two that is broken", ["GOOD", imagePart("data:image/png;base64,AAAA")], ""],
  ["an embedding beside an image", ["GOOD", '{"type":"image_embeds","image_embeds":null,"uuid":"a"}'], ""],
  ["an image that vLLM has cached", ["GOOD", '{"type":"image_url","image_url":null,"uuid":"a"}'], ""],
  ["settings of the image processor", ["GOOD"], '"mm_processor_kwargs":{"max_pixels":9},'],
  ["more images than the limit", Array.from({ length: 65 }, () => "GOOD"), ""],
])("%s: vLLM gets the request as it came", async (_name, parts, more) => {
  const text = chatText(
    parts.map((part) => (part === "GOOD" ? imagePart(urls[0]!) : part)),
    more,
  );
  expect((await post(CHAT, text)).status).toBe(200);
  expect(upstream.requests.map(({ body }) => body.toString())).toEqual([text]);
});

test.each([
  '{"messages":[{"content":[{"type":"image_url"',
  '{"image_url":',
  "image_url",
  `${"[".repeat(100)}"image_url"`,
])("a body that is no JSON is vLLM's to refuse: %s", async (text) => {
  upstream.answers.push((response) => response.writeHead(400).end("no JSON"));
  const response = await post(CHAT, text);
  expect([response.status, await response.text()]).toEqual([400, "no JSON"]);
  expect(upstream.requests.map(({ body }) => body.toString())).toEqual([text]);
});

test.each([400, 422, 500])("vLLM that answers %d to embeddings gets the images, once", async (status) => {
  upstream.answers.push((response) => response.writeHead(status).end("no embeddings"));
  const text = chatText([imagePart(urls[0]!)]);
  const response = await post(CHAT, text);
  expect([response.status, (await response.json()) as object]).toEqual([
    200,
    { object: "chat.completion", choices: [] },
  ]);
  expect(upstream.requests).toHaveLength(2);
  expect(upstream.requests[0]?.body.toString()).toContain("image_embeds");
  expect(upstream.requests[1]?.body.toString()).toBe(text);
  expect(lines).toMatchObject([{ status, answer: "no embeddings" }]);
});

test("vLLM that refuses embeddings and breaks off gets the images all the same", async () => {
  upstream.answers.push((response) => {
    response.writeHead(500, { "content-length": 100 }).write("half", () => response.destroy());
  });
  expect((await post(CHAT, chatText([imagePart(urls[0]!)]))).status).toBe(200);
  expect(upstream.requests).toHaveLength(2);
});

test("an upstream that switches protocols without being asked is a 502, at once", async () => {
  upstream.server.prependListener("request", (_request, response) => {
    response.socket?.end("HTTP/1.1 101 Switching Protocols\r\nupgrade: a\r\nconnection: upgrade\r\n\r\n");
  });
  upstream.answers.push(() => {});
  expect((await post(CHAT, chatText([]))).status).toBe(502);
});

test("a body of millions of values is left to vLLM without parsing it", async () => {
  const parsed = vi.spyOn(JSON, "parse");
  const text = `{"image_url": 1, "messages": [${"[],".repeat(200_000)}1]}`;
  expect((await post(CHAT, text)).status).toBe(200);
  const longest = Math.max(0, ...parsed.mock.calls.map(([json]) => json.length));
  parsed.mockRestore();
  expect(longest).toBeLessThan(text.length);
  expect(upstream.requests[0]?.body.toString()).toBe(text);
});

test("while vLLM answers, only the body counts as held memory", async () => {
  let finish = () => {};
  upstream.answers.push((response) => {
    response.write("data: 1\n\n");
    finish = () => response.end();
  });
  const metrics = await EngineMetrics.create();
  await using measured = await open({ metrics });
  const text = chatText([imagePart(urls[0]!)]);
  const headers = { "content-type": "application/json" };
  const response = await fetch(measured.url + CHAT, { method: "POST", headers, body: text });
  const held = await (await fetch(`${measured.url}/metrics`)).text();
  expect(held).toContain(`vitgraph_http_request_memory_bytes ${Buffer.byteLength(text)}\n`);
  finish();
  await response.text();
});

test("a second refusal is the client's, and an answer of another status the first time", async () => {
  const refuse: Answer = (response, { body }) =>
    response.writeHead(400).end(body.includes("image_embeds") ? "1" : "2");
  upstream.answers.push(refuse, refuse);
  const text = chatText([imagePart(urls[0]!)]);
  expect(await (await post(CHAT, text)).text()).toBe("2");
  upstream.answers.push((response) => response.writeHead(429, { "retry-after": "3" }).end("busy"));
  const busy = await post(CHAT, text);
  expect([busy.status, busy.headers.get("retry-after"), await busy.text()]).toEqual([429, "3", "busy"]);
  expect(upstream.requests).toHaveLength(3);
});

function client(url = gateway.url): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
}

const messages = () => [
  { role: "user" as const, content: [{ type: "image_url" as const, image_url: { url: urls[0]! } }] },
];

function chunk(text: string): string {
  return `data: ${JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: text } }] })}\n\n`;
}

test("OpenAI's client streams an answer as it comes", async () => {
  let more = () => {};
  upstream.answers.push((response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(chunk("one"));
    more = () => response.end(`${chunk("two")}data: [DONE]\n\n`);
  });
  const stream = await client().chat.completions.create({ model: "m", messages: messages(), stream: true });
  const texts: (string | null | undefined)[] = [];
  for await (const { choices } of stream) {
    texts.push(choices[0]?.delta.content);
    more();
  }
  expect(texts).toEqual(["one", "two"]);
  expect(upstream.requests[0]?.body.toString()).toContain("image_embeds");
});

test("a client that hangs up ends the call to vLLM: while it waits and while it reads", async () => {
  for (const isStreaming of [false, true]) {
    let closed = false;
    upstream.answers.push((response) => {
      response.on("close", () => {
        closed = true;
      });
      if (isStreaming) response.writeHead(200, { "content-type": "text/event-stream" }).write(chunk("one"));
    });
    const abort = new AbortController();
    const before = upstream.requests.length;
    const call = client().chat.completions.create(
      { model: "m", messages: messages(), stream: isStreaming },
      { signal: abort.signal },
    );
    if (isStreaming) {
      const stream = await call;
      const next = (stream as AsyncIterable<unknown>)[Symbol.asyncIterator]().next();
      await next;
    } else while (upstream.requests.length === before) await sleep(5);
    abort.abort();
    await Promise.resolve(call).catch(() => {});
    while (!closed) await sleep(5);
  }
});

test("an idle connection ends on this side: vLLM would close it under the next request", async () => {
  // The upstream itself keeps connections for good.
  const closed = new Promise((resolve) =>
    upstream.server.once("connection", (socket) => socket.once("close", resolve)),
  );
  upstream.server.keepAliveTimeout = 0;
  expect((await post(CHAT, chatText([]))).status).toBe(200);
  await closed;
  expect((await post(CHAT, chatText([]))).status).toBe(200);
});

test("a server that is down is a 502 with a remedy, in the form of OpenAI's errors", async () => {
  await upstream.close();
  await sleep(20);
  const error = await errorOf(await post(CHAT, chatText([imagePart(urls[0]!)])));
  expect(error).toMatchObject({ status: 502, type: "server_error", remedy: "try again later" });
  expect(error.message).toContain("cannot be reached (ECONNREFUSED)");
  await expect(client().chat.completions.create({ model: "m", messages: messages() })).rejects.toThrow("502");
});

test("probes and metrics are the gateway's own; with keys, the rest needs one", async () => {
  const key = "a-key-of-the-test-0123456789";
  await using closed = await open({ apiKeys: [key], metrics: opened.metrics });
  for (const path of ["/health", "/health/live", "/metrics"])
    expect((await fetch(closed.url + path)).status).toBe(200);
  expect((await fetch(`${closed.url}/v1/models`)).status).toBe(401);
  expect(upstream.requests).toEqual([]);
  const headers = { authorization: `Bearer ${key}` };
  expect((await fetch(`${closed.url}/v1/models`, { headers })).status).toBe(200);
  expect(upstream.requests.map(({ url }) => url)).toEqual(["/v1/models"]);
});

test("a WebSocket handshake is refused with a remedy; another upgrade is an ordinary request", async () => {
  const { port } = new URL(gateway.url);
  const handshake = (protocol: string) =>
    `GET /v1/realtime HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade, close\r\nupgrade: ${protocol}\r\n\r\n`;
  for (const protocol of ["websocket", "h2c, WebSocket/13"]) {
    const refused = await sendRaw(Number(port), handshake(protocol));
    expect(refused).toMatch(/^HTTP\/1\.1 501 /);
    expect(refused).toContain("the gateway does not forward WebSockets: connect to vLLM's own address");
  }
  expect(upstream.requests).toEqual([]);
  // Java's client asks for HTTP/2 so.
  expect(await sendRaw(Number(port), handshake("h2c"))).toMatch(/^HTTP\/1\.1 200 /);
  expect(upstream.requests.map(({ headers }) => headers.upgrade)).toEqual([undefined]);
});

test("an upstream below a path; options that cannot work", async () => {
  await using below = await open({ gateway: { upstream: `${upstream.url}/team/a/` } });
  await fetch(`${below.url}/v1/models?x=1`);
  expect(upstream.requests[0]?.url).toBe("/team/a/v1/models?x=1");
  await expect(open({ gateway: { upstream: "vllm:8000" } })).rejects.toThrow('the upstream is "vllm:8000"');
  const both = {
    gateway: { upstream: upstream.url },
    chat: { chat: () => {} },
  } as unknown as Partial<ServerOptions>;
  await expect(open(both)).rejects.toThrow("answer /v1/chat/completions");
  const vision = { modelType: "gemma3", outputColumns: [64] };
  const gemma = { encodeEach: () => {}, model: { name: "gemma", vision } } as unknown as ServedEngine;
  await expect(open({ engine: gemma })).rejects.toThrow(
    "vLLM takes no image_grid_thw for the model type gemma3",
  );
  await expect(open({ gateway: { upstream: upstream.url, storag: 1 } as never })).rejects.toThrow(
    'did you mean "storage"?',
  );
});
