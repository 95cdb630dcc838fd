/** The encode instance behind vLLM's proxy: recorded requests, and the scripted proxy of test/epd-proxy.ts. */
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { bytesOf, type EngineItem, f32ToBf16 } from "@vitgraph/core";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { readEcFile } from "../test/ec-files.js";
import {
  type Chat,
  type Decoder,
  type Part,
  postJson,
  type Recorded,
  recordedExchanges,
  startDecoder,
  startEpdProxy,
} from "../test/epd-proxy.js";
import {
  dataUrl,
  errorOf,
  openTestEngine,
  png,
  serve,
  type TestEngine,
  type TestServer,
} from "../test/serve.js";
import { EcStorage, ecKeyOfUrl } from "./ec-storage.js";
import { registerInstance } from "./instance-registration.js";
import type { ServedEngine, ServerOptions } from "./server-options.js";

let recorded: Readonly<Record<string, Recorded>>;
let urls: readonly string[];
beforeAll(async () => {
  recorded = await recordedExchanges();
  urls = [dataUrl(await png(16, 8)), dataUrl(await png(8, 12, 10)), dataUrl(await png(12, 12, 90))];
});

let opened: TestEngine;
let directory: string;
beforeEach(async () => {
  opened = await openTestEngine();
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
});
afterEach(async () => {
  await opened[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

function newStorage(path = directory): EcStorage {
  const { identity, model } = opened.engine;
  return new EcStorage({ path, identity, vision: model.vision });
}

function encodeServer(more: Partial<ServerOptions> = {}): Promise<TestServer> {
  return serve({ engine: opened.engine, vllmEncode: newStorage(), ...more });
}

function image(url: string, more: object = {}): Part {
  return { type: "image_url", image_url: { url }, ...more };
}

function chat(content: string | readonly Part[], more: object = {}): Chat {
  return { model: "tiny", messages: [{ role: "user", content }], stream: false, ...more };
}

function post(server: TestServer, body: unknown): Promise<Response> {
  return postJson(`${server.url}/v1/chat/completions`, body);
}

async function transferParams(response: Response): Promise<unknown> {
  expect(response.status).toBe(200);
  return ((await response.json()) as { ec_transfer_params?: unknown }).ec_transfer_params;
}

/** Counts the items that the engine encodes. */
function countingEngine(): { readonly engine: ServedEngine; readonly items: EngineItem[] } {
  const { engine } = opened;
  const items: EngineItem[] = [];
  return {
    items,
    engine: {
      model: engine.model,
      get state() {
        return engine.state;
      },
      encode: (list, options) => engine.encode(list, options),
      encodeEach(list, options) {
        items.push(...list);
        return engine.encodeEach(list, options);
      },
    },
  };
}

/** The engine's rows of an image, in bf16. */
async function rowsOf(url: string): Promise<Uint8Array> {
  const bytes = Buffer.from(url.slice(url.indexOf(",") + 1), "base64");
  const [outcome] = await opened.engine.encode([{ image: bytes }]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return bytesOf(f32ToBf16(outcome.value.data));
}

test("requests that vLLM's proxy sent are answered as they were then", async () => {
  await using server = await encodeServer();
  for (const { encoders } of Object.values(recorded)) {
    for (const { request, headers, status, answer } of encoders) {
      const response = await postJson(`${server.url}/v1/chat/completions`, request, headers);
      expect(response.status).toBe(status);
      expect(response.headers.get("x-request-id")).toBe(headers["x-request-id"]);
      expect(await response.json()).toMatchObject(answer);
    }
  }
});

test("the scripted proxy sends what vLLM's sent, in front of two instances", async () => {
  await using decoder = await startDecoder();
  await using first = await encodeServer();
  await using second = await encodeServer();
  await using proxy = await startEpdProxy({ decoder: decoder.url, encoders: [first.url, second.url] });
  for (const [name, { client, encoders, decoder: expected }] of Object.entries(recorded)) {
    const before = proxy.encoded.length;
    await (await postJson(`${proxy.url}/v1/chat/completions`, client)).text();
    const sent = proxy.encoded.slice(before).map(({ url, request }) => ({
      encoder: url === first.url ? 0 : 1,
      request,
    }));
    const wanted = encoders.filter(({ status }) => status === 200);
    expect(sent, name).toHaveLength(wanted.length);
    for (const { encoder, request } of wanted) expect(sent, name).toContainEqual({ encoder, request });
    if (expected !== null)
      expect(withoutItems(decoder.requests.at(-1)), name).toEqual(withoutItems(expected));
  }
});

/** `ec_items` names transfers of Mooncake, by random ids. */
function withoutItems(body: Chat | undefined): unknown {
  const { ec_transfer_params: params, ...rest } = body as Chat & { ec_transfer_params?: object };
  const { ec_items: _, ...entries } = (params ?? {}) as Record<string, unknown>;
  return { ...rest, entries };
}

test("the decoder finds the rows of each image under the uuid that it gets", async () => {
  await using decoder = await startDecoder();
  await using server = await encodeServer();
  await using proxy = await startEpdProxy({ decoder: decoder.url, encoders: [server.url] });
  const content = urls.map((url) => image(url));
  expect((await postJson(`${proxy.url}/v1/chat/completions`, chat(content))).status).toBe(200);
  const parts = decoder.requests[0]!.messages[0]!.content as readonly Part[];
  expect(parts.map(({ image_embeds: metadata }) => metadata)).toEqual([
    { image_grid_thw: [1, 4, 8] },
    { image_grid_thw: [1, 6, 4] },
    { image_grid_thw: [1, 6, 6] },
  ]);
  for (const [index, { uuid }] of parts.entries()) {
    const { shape, rows } = await readEcFile(directory, uuid as string);
    expect(shape).toEqual([[8, 6, 9][index], 16]);
    expect(new Uint8Array(rows)).toEqual(await rowsOf(urls[index] as string));
  }
});

test("a decoder that fails once gets the same again, from the file", async () => {
  await using decoder = await startDecoder();
  const { engine, items } = countingEngine();
  await using server = await encodeServer({ engine });
  await using proxy = await startEpdProxy({ decoder: decoder.url, encoders: [server.url] });
  decoder.failures.push(500);
  expect((await postJson(`${proxy.url}/v1/chat/completions`, chat([image(urls[0]!)]))).status).toBe(200);
  expect(decoder.requests).toHaveLength(2);
  expect(decoder.requests[1]).toEqual(decoder.requests[0]);
  expect(items).toHaveLength(1);
});

test("an image that comes twice in a request is encoded once, and both places are reported", async () => {
  const { engine, items } = countingEngine();
  await using server = await encodeServer({ engine });
  const response = await post(server, chat([image(urls[0]!), image(urls[1]!), image(urls[0]!)]));
  expect(await transferParams(response)).toEqual({
    [ecKeyOfUrl(urls[0]!)]: { metadata: { image_grid_thw: [[1, 4, 8]] }, item_indices: [0, 2] },
    [ecKeyOfUrl(urls[1]!)]: { metadata: { image_grid_thw: [[1, 6, 4]] }, item_indices: [1] },
  });
  expect(items).toHaveLength(2);
});

test("one uuid for two images at the same time: every answer has the grid of the file", async () => {
  await using server = await encodeServer();
  await using other = await encodeServer();
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      post(index % 2 === 0 ? server : other, chat([image(urls[index % 3]!, { uuid: "one" })])).then(
        transferParams,
      ),
    ),
  );
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  const { metadata } = (answers[0] as { one: { metadata: { image_grid_thw: number[][] } } }).one;
  const [, h, w] = metadata.image_grid_thw[0] as [number, number, number];
  expect((await readEcFile(directory, "one")).shape).toEqual([(h * w) / 4, 16]);
  expect(await readdir(join(directory, "one"))).toEqual(["encoder_cache.safetensors"]);
});

test("an image that the client knows to be stored needs its uuid alone", async () => {
  await using server = await encodeServer();
  const stored = chat([{ type: "image_url", image_url: null, uuid: "photo" } as unknown as Part]);
  expect(await errorOf(await post(server, stored))).toMatchObject({
    status: 400,
    param: "messages[0].content[0]",
    message: "the image of the uuid is not in the storage: send its image_url",
  });
  await post(server, chat([image(urls[0]!, { uuid: "photo" })]));
  expect(await transferParams(await post(server, stored))).toEqual({
    photo: { metadata: { image_grid_thw: [[1, 4, 8]] }, item_indices: [0] },
  });
});

test.each([
  ["a video", chat([{ type: "video_url", video_url: { url: "https://a.test/b.mp4" }, uuid: "v" }])],
  ["audio", chat([{ type: "input_audio", input_audio: { data: "", format: "wav" }, uuid: "a" }])],
  [
    "settings of the image processor",
    chat([{ type: "image_url" }], { mm_processor_kwargs: { max_pixels: 1 } }),
  ],
  ["settings of the decoder", chat([{ type: "image_url" }], { media_io_kwargs: { video: { fps: 1 } } })],
])("%s are left to the decoder, and the log says so", async (_name, body) => {
  const lines: object[] = [];
  const log = (fields: object) => void lines.push(fields);
  await using server = await encodeServer({ logger: { debug: log, info: log, warn: log, error: log } });
  expect(await transferParams(await post(server, body))).toBeUndefined();
  expect(lines).toContainEqual({ requestId: expect.any(String), reason: expect.any(String) });
  expect(await readdir(directory)).toEqual([]);
});

test.each([
  ["another model", { model: "large" }, [], 404, "model", 'use "tiny"'],
  [
    "a Mooncake consumer",
    { ec_transfer_params: { consumer_zmq: "tcp://a:1" } },
    [],
    400,
    "ec_transfer_params",
    "ECExampleConnector",
  ],
  ["a stream", { stream: true }, [], 400, "stream", "stream is none of false, null: see /openapi.json"],
  ["no image", {}, "hello", 400, null, "the messages have 0 images"],
  [
    "a uuid that is a path",
    {},
    [{ uuid: "../a" }],
    400,
    "messages[0].content[0].uuid",
    "is not a safe file name",
  ],
  [
    "a part without an image",
    {},
    [{ image_url: null }],
    400,
    "messages[0].content[0]",
    "neither image_url nor uuid",
  ],
  [
    "bytes that are no image",
    {},
    [{ image_url: { url: "data:image/png;base64,AAAA" } }],
    400,
    "messages[0].content[0]",
    "unknown image format",
  ],
  [
    "a domain that is not allowed",
    {},
    [{ image_url: { url: "https://a.test/a.png" } }],
    403,
    "messages[0].content[0]",
    "is not allowed",
  ],
  [
    "a path where none is allowed",
    {},
    [{ image_url: { url: "file:///etc/passwd" } }],
    403,
    "messages[0].content[0]",
    "not allowed",
  ],
])("%s is refused", async (_name, more, parts, status, param, message) => {
  await using server = await encodeServer();
  const content =
    typeof parts === "string" ? parts : parts.map((part) => ({ type: "image_url", ...part }) as Part);
  const response = await post(server, chat(content, more));
  expect(await errorOf(response)).toMatchObject({ status, param, message: expect.stringContaining(message) });
  expect(await readdir(directory)).toEqual([]);
});

test("members that are null count as absent, as for vLLM", async () => {
  await using server = await encodeServer();
  const nulls = { model: null, stream: null, mm_processor_kwargs: null, ec_transfer_params: null };
  const body = chat([image(urls[0] as string, { uuid: "a" })], nulls);
  expect(Object.keys((await transferParams(await post(server, body))) ?? {})).toEqual(["a"]);
});

test("more images than the limit are refused; one that fails is named", async () => {
  await using server = await encodeServer({ limits: { maxItems: 2 } });
  expect((await post(server, chat(urls.map((url) => image(url))))).status).toBe(400);
  const broken = (urls[1] as string).slice(0, 60);
  const response = await post(
    server,
    chat([image(urls[0]!, { uuid: "good" }), image(broken, { uuid: "bad" })]),
  );
  expect(await errorOf(response)).toMatchObject({ status: 400, param: "messages[0].content[1]" });
});

test("with API keys the route needs one, and without vllmEncode there is none", async () => {
  const key = "a-key-of-the-test-0123456789";
  await using server = await encodeServer({ apiKeys: [key] });
  expect((await post(server, chat([image(urls[0]!)]))).status).toBe(401);
  await using plain = await serve({ engine: opened.engine });
  expect((await post(plain, chat([image(urls[0]!)]))).status).toBe(404);
});

test("a connection that is idle for 2.5 s, as long as the proxy keeps one, is still open", async () => {
  await using server = await encodeServer();
  const socket = connect(server.port, "127.0.0.1");
  const ask = async () => {
    socket.write("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
    return String((await once(socket, "data"))[0]).split("\r\n")[0];
  };
  expect(await ask()).toBe("HTTP/1.1 200 OK");
  await sleep(2600);
  expect(await ask()).toBe("HTTP/1.1 200 OK");
  socket.destroy();
});

test("a storage that cannot be written to is an error at start", async () => {
  await writeFile(join(directory, "file"), "");
  const start = serve({ engine: opened.engine, vllmEncode: newStorage(join(directory, "file")) });
  await expect(start).rejects.toMatchObject({ code: "VG_FILE_UNWRITABLE" });
});

const ADMIN_KEY = "admin-key";

/** A proxy that instances register at, and the lines that registering logs. */
async function registering(decoder: Decoder, adminKey = ADMIN_KEY) {
  const lines: object[] = [];
  const log = (fields: object, message: string) => void lines.push({ ...fields, message });
  const logger = { debug: log, info: log, warn: log, error: log };
  const proxy = await startEpdProxy({ decoder: decoder.url, adminKey: ADMIN_KEY });
  const options = { proxyUrl: proxy.url, adminKey, logger, everyMs: 20 };
  return { proxy, lines, options };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await sleep(5);
}

test("an instance registers, again after the proxy forgot it, and goes before it drains", async () => {
  await using decoder = await startDecoder();
  await using server = await encodeServer();
  const { proxy, lines, options } = await registering(decoder);
  await using _ = proxy;
  let isReady = false;
  const registration = registerInstance({
    ...options,
    instanceUrl: `${server.url}/`,
    isReady: () => isReady,
  });
  await sleep(60);
  expect(proxy.instances.size).toBe(0);
  isReady = true;
  await until(() => proxy.instances.get(server.url) === "encode");
  proxy.restart();
  await until(() => proxy.instances.get(server.url) === "encode");
  expect((await postJson(`${proxy.url}/v1/chat/completions`, chat([image(urls[0]!)]))).status).toBe(200);
  expect(decoder.requests[0]?.messages[0]?.content).toMatchObject([{ type: "image_embeds" }]);
  await registration[Symbol.asyncDispose]();
  expect(proxy.instances.size).toBe(0);
  await sleep(60);
  expect(proxy.instances.size).toBe(0);
  expect(lines).toEqual([
    { proxy: proxy.url, instance: server.url, message: "registered as an encode instance" },
  ]);
});

test("a proxy's refusal is logged with its reason, which comes last", async () => {
  const text = JSON.stringify({
    detail: [{ type: "missing", loc: ["body", "role"], msg: "x".repeat(60), input: "the reason" }],
  });
  const proxy = createServer((_request, response) => response.writeHead(422).end(text));
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const reasons: unknown[] = [];
  const log = (fields: object) => void reasons.push((fields as { readonly reason?: unknown }).reason);
  const registration = registerInstance({
    proxyUrl,
    instanceUrl: "http://127.0.0.1:9",
    adminKey: "key",
    isReady: () => true,
    logger: { debug: log, info: log, warn: log, error: log },
  });
  await until(() => reasons.length === 1);
  await registration[Symbol.asyncDispose]();
  proxy.close();
  expect(reasons[0]).toBe(`it answers 422: ${text}`);
});

test("a proxy that refuses or is down is logged once, and asked again", async () => {
  await using decoder = await startDecoder();
  const { proxy, lines, options } = await registering(decoder, "wrong");
  const instanceUrl = "http://127.0.0.1:9";
  const registration = registerInstance({ ...options, instanceUrl, isReady: () => true });
  await until(() => lines.length === 1);
  await sleep(60);
  await proxy[Symbol.asyncDispose]();
  // A connection that was open may be reset first.
  await until(() => JSON.stringify(lines).includes("ECONNREFUSED"));
  await registration[Symbol.asyncDispose]();
  const message = "registering failed, retrying";
  expect(lines.slice(0, 1)).toEqual([
    { proxy: proxy.url, instance: instanceUrl, reason: expect.stringContaining("403"), message },
  ]);
  expect(lines.length).toBeLessThanOrEqual(4);
  expect(lines.at(-1)).toMatchObject({ message: "the proxy still lists this instance" });
  expect(() =>
    registerInstance({ ...options, proxyUrl: "proxy:80", instanceUrl, isReady: () => true }),
  ).toThrow('proxyUrl is "proxy:80": give an http(s) URL');
});
