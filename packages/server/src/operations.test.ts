/** Keys, limits, slow clients, floods and draining, over real connections. */
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { EngineMetrics } from "@vitgraph/core/observability";
import { VitgraphError } from "@vitgraph/errors";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scriptedChat } from "../test/scripted-chat.js";
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
import { createServer } from "./create-server.js";
import type { ServedEngine } from "./server-options.js";

const KEY = "a-key-of-the-test-0123456789";
const OTHER_KEY = "b-key-of-the-test-0123456789";

let opened: TestEngine;
let image: string;
beforeAll(async () => {
  opened = await openTestEngine();
  image = dataUrl(await png(16, 8));
});
afterAll(() => opened[Symbol.asyncDispose]());

/** The real engine, with calls that wait until `release`. */
function heldEngine() {
  const { engine } = opened;
  const calls: { caller: string | undefined; signal: AbortSignal | undefined }[] = [];
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const served: ServedEngine = {
    model: engine.model,
    get state() {
      return engine.state;
    },
    encodeEach: (items, options) => engine.encodeEach(items, options),
    async encode(items, options) {
      calls.push({ caller: options?.caller, signal: options?.signal });
      await held;
      return engine.encode(items, options);
    },
  };
  return { served, calls, release: () => release() };
}

const never = new Promise<never>(() => {});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await sleep(5);
}

test("without the right key a request is refused before its body is read", async () => {
  await using server = await serve({ engine: opened.engine, apiKeys: [KEY] });
  for (const headers of [{}, { authorization: "Bearer wrong" }, { authorization: `Bearer ${KEY}x` }]) {
    const response = await server.embed({ input: image }, headers);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await errorOf(response)).toMatchObject({
      status: 401,
      type: "authentication_error",
      code: "VG_API_KEY_INVALID",
    });
  }
  expect((await server.embed({ input: image }, { authorization: `Bearer ${KEY}` })).status).toBe(200);
});

test("a path written in another way needs the key too, and so does a route that does not exist", async () => {
  await using server = await serve({ engine: opened.engine, apiKeys: [KEY] });
  for (const path of [
    "/v1/models",
    "/%761/models",
    "/v1/%6dodels",
    "//v1/models",
    "/V1/models",
    "/other",
    "/",
  ])
    expect((await fetch(server.url + path)).status).toBe(401);
  for (const path of ["/health", "/health/live", "/version", "/openapi.json"])
    expect((await fetch(server.url + path)).status).toBe(200);
});

test("a key is a caller of the engine; without keys, an address is", async () => {
  const { served, calls, release } = heldEngine();
  release();
  await using server = await serve({ engine: served, apiKeys: [KEY, OTHER_KEY] });
  for (const key of [KEY, OTHER_KEY])
    await server.embed({ input: image }, { authorization: `Bearer ${key}` });
  await using open = await serve({ engine: served });
  await open.embed({ input: image });
  expect(calls.map(({ caller }) => caller)).toEqual(["key 0", "key 1", "address 127.0.0.1"]);
});

test("a full queue is answered with 429 and Retry-After", async () => {
  const full = async () => {
    throw new VitgraphError("VG_QUEUE_FULL", "9 items wait", { remedy: "try again later" });
  };
  await using server = await serve({ engine: { ...heldEngine().served, encode: full, state: "ready" } });
  const response = await server.embed({ input: image });
  expect(response.headers.get("retry-after")).toBe("1");
  expect(await errorOf(response)).toMatchObject({
    status: 429,
    type: "rate_limit_error",
    code: "VG_QUEUE_FULL",
    remedy: "try again later",
  });
});

test("an error that is no VitgraphError goes to the log, not to the client", async () => {
  const lines: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: drop, warn: drop, error: (fields: object) => lines.push(fields) };
  const encode = async () => {
    throw new Error("secret detail");
  };
  await using server = await serve({ engine: { ...heldEngine().served, encode, state: "ready" }, logger });
  const response = await server.embed({ input: image }, { "x-request-id": "abc-1" });
  expect(response.headers.get("x-request-id")).toBe("abc-1");
  const error = await errorOf(response);
  expect(error).toMatchObject({ status: 500, type: "server_error", code: "VG_INTERNAL" });
  expect(JSON.stringify(error)).not.toContain("secret");
  expect(lines).toEqual([{ requestId: "abc-1", err: expect.objectContaining({ message: "secret detail" }) }]);
});

test("the log has a line a request, with neither its path and query, nor its key, nor its body", async () => {
  const lines: string[] = [];
  const log = (fields: object, message: string) => lines.push(JSON.stringify({ ...fields, message }));
  const logger = { debug: log, info: log, warn: log, error: log };
  await using server = await serve({ engine: opened.engine, apiKeys: [KEY], logger });
  const response = await server.embed(
    { input: image },
    { authorization: `Bearer ${KEY}`, "x-request-id": "bad id\u00e4" },
  );
  await response.text();
  await fetch(`${server.url}/secret?token=secret`, { headers: { authorization: "Bearer secret" } });
  await until(() => lines.length === 2);
  const text = lines.join("\n");
  for (const word of ["secret", KEY, "base64", "bad id"]) expect(text).not.toContain(word);
  expect(JSON.parse(lines[0]!)).toEqual({
    requestId: expect.any(String),
    method: "POST",
    route: "/v1/embeddings",
    status: 200,
    durationMs: expect.any(Number),
    caller: "key 0",
    message: "request",
  });
  expect(JSON.parse(lines[1]!)).toMatchObject({ route: "none", status: 401 });
});

test("a body above the limit is refused: declared, chunked, and as a form", async () => {
  const limits = { maxBodyBytes: 2000, maxImageBytes: 2000 };
  await using server = await serve({ engine: opened.engine, limits });
  const { port } = server;
  const head =
    "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
  expect(await sendRaw(port, `${head}content-length: 999999999999\r\n\r\n{`)).toMatch(/^HTTP\/1.1 413 /);
  const chunk = `${(1000).toString(16)}\r\n${" ".repeat(1000)}\r\n`;
  expect(await sendRaw(port, `${head}transfer-encoding: chunked\r\n\r\n${chunk.repeat(3)}`)).toMatch(
    /^HTTP\/1.1 413 /,
  );
  const form = head.replace("application/json", "multipart/form-data; boundary=b");
  const part = `--b\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n${"x".repeat(1500)}\r\n`;
  const parts = part.repeat(2);
  const chunked = `${parts.length.toString(16)}\r\n${parts}\r\n`;
  expect(await sendRaw(port, `${form}transfer-encoding: chunked\r\n\r\n${chunked}`)).toMatch(
    /^HTTP\/1.1 413 /,
  );
  const large = `${part.replace(/x+/, "x".repeat(3000))}--b--\r\n`;
  const oneLarge = `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`;
  expect(await sendRaw(port, `${form}transfer-encoding: chunked\r\n\r\n${oneLarge}`)).toMatch(
    /^HTTP\/1.1 413 /,
  );
});

test("headers that never end and bodies that never come are cut, while others are served", async () => {
  await using server = await serve({ engine: opened.engine, limits: { receiveMs: 300 } });
  const head = "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
  const drip = (socket: Socket) => {
    const timer = setInterval(() => socket.write("x"), 50);
    socket.on("close", () => clearInterval(timer));
  };
  const slow = [
    sendRaw(server.port, `${head}x-a: `, drip),
    sendRaw(server.port, `${head}content-length: 5000\r\n\r\n`, drip),
  ];
  expect((await server.embed({ input: image })).status).toBe(200);
  for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^(HTTP\/1.1 408 |$)/);
});

test("a client that reads its answer slowly is cut, and its memory comes back", async () => {
  const limits = { receiveMs: 200, encodeMs: 2000, sendMs: 400 };
  const columns = 1 << 20;
  const wide: ServedEngine = {
    ...heldEngine().served,
    state: "ready",
    model: { name: "wide", vision: { outputColumns: [columns] } },
    async encode(items, options) {
      const [outcome] = await opened.engine.encode(items, options);
      if (outcome?.status !== "fulfilled") throw new Error("not encoded");
      const data = new Float32Array(8 * columns);
      return [{ status: "fulfilled", value: { ...outcome.value, columns, data } as never }];
    },
  };
  await using server = await serve({ engine: wide, limits, metrics: await EngineMetrics.create() });
  const body = JSON.stringify({ input: image });
  const head = `POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  // 64 KiB every 100 ms: the connection is never silent, and the whole answer takes 25 s.
  const answer = await sendRaw(server.port, head + body, (socket) => {
    socket.on("data", () => socket.pause());
    const timer = setInterval(() => socket.resume(), 100);
    socket.on("close", () => clearInterval(timer));
  });
  expect(answer).toMatch(/^HTTP\/1.1 200 /);
  expect(answer).not.toContain('"usage"');
  const held = async () => (await server.app.inject("/metrics")).body;
  await expect.poll(held).toContain("vitgraph_http_request_memory_bytes 0\n");
});

test("embeddings above the limit are refused before they are computed", async () => {
  const encoded = () => opened.engine.stats().graphHits + opened.engine.stats().graphMisses;
  const before = encoded();
  await using server = await serve({ engine: opened.engine, limits: { maxResponseBytes: 100 } });
  expect((await server.embed({ input: image })).status).toBe(413);
  expect(encoded()).toBe(before);
  await using other = await serve({ engine: opened.engine });
  expect((await other.embed({ input: image })).status).toBe(200);
  expect(encoded()).toBeGreaterThan(before);
});

test("a request that arrives too slowly is logged and counted as 408, the answer that the client gets", async () => {
  const lines: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: (fields: object) => lines.push(fields), warn: drop, error: drop };
  const metrics = await EngineMetrics.create();
  const limits = { receiveMs: 300 };
  await using server = await serve({ engine: opened.engine, limits, logger, metrics });
  const ready = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
  const slow =
    "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n";
  expect(await sendRaw(server.port, slow)).toMatch(/^HTTP\/1.1 408 /);
  // A proxy sends several requests on one connection.
  const later = await sendRaw(server.port, ready, (socket) => {
    socket.once("data", () => socket.write(slow));
  });
  expect(later).toMatch(/^HTTP\/1.1 200 .*HTTP\/1.1 408 /s);
  await until(() => lines.length === 3);
  const cut = { route: "/v1/embeddings", status: 408 };
  expect(lines).toMatchObject([cut, { route: "/health", status: 200 }, cut]);
  for (const line of lines) expect(line).not.toHaveProperty("aborted");
  expect(await metrics.prometheus()).toContain(
    'vitgraph_http_requests_total{route="/v1/embeddings",status="408"} 2',
  );
});

test("a request whose chunks cannot be parsed is logged with the status that the client gets", async () => {
  const lines: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: (fields: object) => lines.push(fields), warn: drop, error: drop };
  await using server = await serve({ engine: opened.engine, logger });
  const head =
    "POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
  expect(await sendRaw(server.port, `${head}zz\r\n`)).toMatch(/^HTTP\/1.1 400 /);
  await until(() => lines.length === 1);
  expect(lines).toMatchObject([{ route: "/v1/embeddings", status: 400 }]);
});

test("a request whose URL cannot be decoded has an id, a line in the log, and is counted", async () => {
  const lines: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: (fields: object) => lines.push(fields), warn: drop, error: drop };
  const metrics = await EngineMetrics.create();
  await using server = await serve({ engine: opened.engine, logger, metrics });
  const answer = await fetch(`${server.url}/v1/%zz`, { headers: { "x-request-id": "abc-1" } });
  expect(answer.status).toBe(400);
  expect(answer.headers.get("x-request-id")).toBe("abc-1");
  await until(() => lines.length === 1);
  expect(lines).toMatchObject([{ requestId: "abc-1", method: "GET", route: "none", status: 400 }]);
  expect(await metrics.prometheus()).toContain('vitgraph_http_requests_total{route="none",status="400"} 1');
});

test("a client that goes away takes its call back", async () => {
  const { served, calls, release } = heldEngine();
  await using server = await serve({ engine: served });
  const controller = new AbortController();
  const call = fetch(`${server.url}/v1/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ input: image }),
    signal: controller.signal,
  });
  await until(() => calls.length === 1);
  controller.abort();
  await expect(call).rejects.toThrow();
  await until(() => calls[0]!.signal!.aborted);
  release();
});

test("a client that goes away is logged and counted: while it sends, before its answer, and within it", async () => {
  const lines: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: (fields: object) => lines.push(fields), warn: drop, error: drop };
  const { served, calls, release } = heldEngine();
  const metrics = await EngineMetrics.create();
  const chat = scriptedChat({
    chunks: [{ text: "a" }],
    before: (index) => (index === 0 ? undefined : never),
  });
  await using server = await serve({ engine: served, metrics, chat, logger });
  const post = (path: string, body: object, more = 0) => {
    const text = JSON.stringify(body);
    return `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${text.length + more}\r\n\r\n${text}`;
  };
  /** Sends a request, and hangs up as soon as the server is so far. */
  const hangUp = (request: string, far: (socket: Socket) => Promise<unknown>) =>
    sendRaw(server.port, request, (socket) => void far(socket).then(() => socket.destroy()));
  const embed = { input: image };
  await hangUp(post("/v1/embeddings", embed, 1), () => once(server.app.server, "request"));
  await until(() => lines.length === 1);
  await hangUp(post("/v1/embeddings", embed), () => until(() => calls.length === 1));
  await until(() => lines.length === 2);
  const stream = { messages: [{ role: "user", content: "Hi" }], stream: true };
  await hangUp(post("/v1/chat/completions", stream), (socket) => once(socket, "data"));
  await until(() => lines.length === 3);
  expect(lines).toMatchObject([
    { route: "/v1/embeddings", status: 499, aborted: true },
    { route: "/v1/embeddings", status: 499, aborted: true },
    { route: "/v1/chat/completions", status: 200, aborted: true },
  ]);
  release();
  await server.app.inject("/health");
  const text = await metrics.prometheus();
  expect(text).toContain('vitgraph_http_requests_total{route="/health",status="200"} 1');
  expect(text).toContain('vitgraph_http_requests_total{route="/v1/embeddings",status="499"} 2');
  expect(text).toContain('vitgraph_http_requests_total{route="/v1/chat/completions",status="200"} 1');
});

test("draining: readiness turns false, the running request is answered, and then the port is closed", async () => {
  const { served, calls, release } = heldEngine();
  const server = await serve({ engine: served, drainDelayMs: 2000 });
  const running = server.embed({ input: image });
  await until(() => calls.length === 1);
  const closed = server.app.close();
  let isClosed = false;
  void closed.then(() => {
    isClosed = true;
  });
  const readiness = async () => (await fetch(`${server.url}/health`)).json();
  await expect.poll(readiness).toEqual({ status: "draining" });
  expect((await fetch(`${server.url}/health`)).status).toBe(503);
  expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
  await expect.poll(() => readiness().catch((error) => error.cause?.code)).toBe("ECONNREFUSED");
  expect(isClosed).toBe(false);
  release();
  expect((await running).status).toBe(200);
  await closed;
});

/** An open connection that the server has accepted, and what comes back on it until it is closed. */
async function openConnection(
  { app, port }: TestServer,
  open: (port: number) => Socket,
): Promise<{ readonly answer: Promise<string> }> {
  const accepted = once(app.server, "connection");
  const socket = open(port);
  const answer = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("error", () => {});
    socket.once("close", () => resolve(text));
  });
  await accepted;
  return { answer };
}

test("a connection that has sent nothing does not hold the drain", async () => {
  const server = await serve({ engine: opened.engine });
  const { answer } = await openConnection(server, (port) => connect(port, "127.0.0.1"));
  await server.app.close();
  // Node would wait for its headers, and answer with 408.
  expect(await answer).toBe("");
});

const hasOpenssl = spawnSync("openssl", ["version"], { stdio: "ignore" }).status === 0;
if (!hasOpenssl) console.warn("SKIPPED: openssl is not installed, and connections by TLS are not tested");

describe.skipIf(!hasOpenssl)("under TLS", () => {
  let tls: { readonly cert: Buffer; readonly key: Buffer };
  beforeAll(async () => {
    const cwd = await mkdtemp(join(tmpdir(), "vitgraph-"));
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const files = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"];
    execFileSync("openssl", ["req", "-x509", ...curve, ...files], { cwd, stdio: "ignore" });
    tls = { cert: await readFile(join(cwd, "cert.pem")), key: await readFile(join(cwd, "key.pem")) };
    await rm(cwd, { recursive: true });
  });

  test("connections before and after their handshake do not hold the drain", async () => {
    const server = await serve({ engine: opened.engine, tls });
    const timeouts: unknown[] = [];
    server.app.server.on("tlsClientError", ({ code }: NodeJS.ErrnoException) => timeouts.push(code));
    const plain = await openConnection(server, (port) => connect(port, "127.0.0.1"));
    const secured = once(server.app.server, "secureConnection");
    const silent = await openConnection(server, (port) => tlsConnect({ port, rejectUnauthorized: false }));
    await secured;
    await server.app.close();
    expect([await plain.answer, await silent.answer]).toEqual(["", ""]);
    expect(timeouts).not.toContain("ERR_TLS_HANDSHAKE_TIMEOUT");
  });

  // Node's own limit is 120 s.
  test("a handshake that never comes is cut as late headers are", { timeout: 60_000 }, async () => {
    await using server = await serve({ engine: opened.engine, tls, limits: { receiveMs: 300 } });
    const { answer } = await openConnection(server, (port) => connect(port, "127.0.0.1"));
    expect(await answer).toBe("");
  });
});

test("readiness follows the engine's state", async () => {
  await using server = await serve({ engine: { ...heldEngine().served, state: "failed" } });
  const response = await fetch(`${server.url}/health`);
  expect([response.status, await response.json()]).toEqual([503, { status: "failed" }]);
});

test("images of URLs and paths are refused by default, with 403 and the item's place", async () => {
  await using server = await serve({ engine: opened.engine });
  for (const source of [
    "http://example.com/a.png",
    "http://127.0.0.1/",
    "file:///etc/passwd",
    "/etc/passwd",
  ]) {
    expect(await errorOf(await server.embed({ input: [image, source] }))).toMatchObject({
      status: 403,
      code: "VG_MEDIA_REFUSED",
      param: "input[1]",
    });
  }
});

test("an image of an allowed domain is fetched, and one that hangs ends at its time", async () => {
  const bytes = await png(16, 8);
  const listener = createHttpServer((request, response) => {
    if (request.url === "/a.png") response.end(bytes);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const options = {
    engine: opened.engine,
    allowedMediaDomains: ["images.test"],
    network: {
      resolve: async () => [{ address: "8.8.8.8", family: 4 }],
      connect: () => connect(port, "127.0.0.1"),
    },
  };
  await using server = await serve(options);
  expect((await server.embed({ input: "https-is-a-path" })).status).toBe(403);
  expect((await server.embed({ input: { image_url: { url: "http://images.test/a.png" } } })).status).toBe(
    200,
  );
  await using hasty = await serve({ ...options, limits: { fetchMs: 200 } });
  expect(await errorOf(await hasty.embed({ input: "http://images.test/hangs" }))).toMatchObject({
    status: 400,
    code: "VG_MEDIA_UNAVAILABLE",
    message: expect.stringContaining("not fetched within 200 ms"),
  });
  listener.closeAllConnections();
  listener.close();
});

test("bodies that together exceed the memory of requests get 429, and a caller within its share does not", async () => {
  const { served, calls, release } = heldEngine();
  const limits = { maxRequestMemoryBytes: 8000 };
  await using server = await serve({ engine: served, apiKeys: [KEY, OTHER_KEY], limits });
  const body = `${JSON.stringify({ input: image })}${" ".repeat(2000)}`;
  const as = (key: string) => server.embed(body, { authorization: `Bearer ${key}` });
  const first = as(KEY);
  await until(() => calls.length === 1);
  const second = await as(KEY);
  expect([second.status, second.headers.get("retry-after")]).toEqual([429, "1"]);
  const other = server.embed({ input: image }, { authorization: `Bearer ${OTHER_KEY}` });
  await until(() => calls.length === 2);
  release();
  expect([(await first).status, (await other).status]).toEqual([200, 200]);
  expect((await as(KEY)).status).toBe(200);
});

test("a body counts three times until it is parsed, and then once", async () => {
  const { served, calls, release } = heldEngine();
  const metrics = await EngineMetrics.create();
  const limits = { maxRequestMemoryBytes: 10_000 };
  await using server = await serve({ engine: served, metrics, limits });
  const bodyOf = (bytes: number, input = image) => {
    const json = JSON.stringify({ input });
    return json + " ".repeat(bytes - Buffer.byteLength(json));
  };
  expect(await errorOf(await server.embed(bodyOf(4000)))).toMatchObject({
    status: 429,
    message: expect.stringContaining("requests hold 4000 bytes, and there is no room for 8000 more"),
  });
  // V8 takes two bytes for each character of a text that has one beyond Latin-1.
  expect(await errorOf(await server.embed(bodyOf(3000, "字")))).toMatchObject({
    message: expect.stringContaining("requests hold 6000 bytes, and there is no room for 9000 more"),
  });
  const answer = server.embed(bodyOf(3000));
  await until(() => calls.length === 1);
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const imageBytes = Buffer.from(image.slice(image.indexOf(",")), "base64").length;
  expect(text).toContain(`vitgraph_http_request_memory_bytes ${3000 + imageBytes}\n`);
  release();
  expect((await answer).status).toBe(200);
});

test.each([
  ["engin", { engin: 1 }, 'did you mean "engine"?'],
  ["a limit that is unknown", { limits: { maxItem: 1 } }, 'did you mean "maxItems"?'],
  ["a limit of 0", { limits: { maxItems: 0 } }, "limits.maxItems is 0"],
  [
    "a time that setTimeout would take for 1 ms",
    { limits: { encodeMs: 2 ** 31 } },
    "limits.encodeMs is 2147483648: give at most 604800000, a week",
  ],
  ["a drain without an end", { drainDelayMs: Number.POSITIVE_INFINITY }, "drainDelayMs is Infinity"],
  ["a short key", { apiKeys: ["short"] }, "shorter than 16"],
  ["a domain with a scheme", { allowedMediaDomains: ["https://a.test"] }, "without scheme"],
  ["a wildcard", { allowedMediaDomains: ["*.a.test/"] }, "without scheme"],
])("createServer refuses %s", async (_, options, message) => {
  await expect(createServer({ engine: opened.engine, ...options } as never)).rejects.toThrow(message);
});
