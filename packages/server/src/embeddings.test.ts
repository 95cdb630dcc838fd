import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { type Embedding, SafetensorsFile } from "@vitgraph/core";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  dataUrl,
  errorOf,
  openTestEngine,
  png,
  serve,
  type TestEngine,
  type TestServer,
} from "../test/serve.js";
import { jsonChunks } from "./embedding-formats.js";
import { LoopTurns } from "./loop-turns.js";

let opened: TestEngine;
let server: TestServer;
let images: readonly Buffer[];
let expected: readonly Embedding[];
beforeAll(async () => {
  opened = await openTestEngine();
  server = await serve({ engine: opened.engine, metrics: opened.metrics });
  images = [await png(16, 8), await png(8, 12, 10)];
  const outcomes = await opened.engine.encode(images.map((image) => ({ image })));
  expected = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await opened[Symbol.asyncDispose]();
});

interface Answer {
  readonly model: string;
  readonly data: readonly {
    readonly index: number;
    readonly shape: readonly [number, number];
    readonly grid_thw: readonly number[];
    readonly embedding: readonly number[] | string;
  }[];
  readonly usage: Readonly<Record<string, number>>;
}

function form(files: readonly Uint8Array[], fields: Readonly<Record<string, string>> = {}): FormData {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  for (const file of files) body.append("image", new Blob([new Uint8Array(file)]), "image.png");
  return body;
}

function post(body: FormData, accept: string): Promise<Response> {
  return fetch(`${server.url}/v1/embeddings`, { method: "POST", headers: { accept }, body });
}

test("JSON in, numbers out: each image's rows, its shape and its grid, equal to the engine's", async () => {
  const input = [dataUrl(images[0]!), { image: dataUrl(images[1]!) }];
  const response = await server.embed({ model: "tiny", input });
  expect(response.status).toBe(200);
  const answer = (await response.json()) as Answer;
  expect(answer.data.map(({ shape, grid_thw }) => ({ shape, grid_thw }))).toEqual([
    { shape: [8, 16], grid_thw: [1, 4, 8] },
    { shape: [6, 16], grid_thw: [1, 6, 4] },
  ]);
  for (const [index, { embedding }] of answer.data.entries())
    expect(Float32Array.from(embedding as number[])).toEqual(expected[index]!.data);
  expect(answer.usage).toEqual({ prompt_tokens: 14, total_tokens: 14, image_tokens: 14 });
});

test("base64 holds the same numbers as f32, and an image_url may be an object or text", async () => {
  const url = dataUrl(images[0]!);
  const input = [{ type: "image_url", image_url: { url } }, { image_url: url }];
  const answer = (await (await server.embed({ input, encoding_format: "base64" })).json()) as Answer;
  for (const { embedding } of answer.data) {
    const bytes = Buffer.from(embedding as string, "base64");
    expect(new Float32Array(new Uint8Array(bytes).buffer)).toEqual(expected[0]!.data);
  }
});

test("nulls count as absent, and user and detail have no effect, as in a chat", async () => {
  const url = dataUrl(images[0]!);
  const part = { type: "image_url", image: null, image_url: { url, detail: "high" } };
  const body = { model: null, input: [part], encoding_format: null, dimensions: null, user: "u" };
  const response = await server.embed(body);
  expect(response.status).toBe(200);
  expect(((await response.json()) as Answer).data[0]!.shape).toEqual([8, 16]);
});

test.each([
  [
    "an image_url without its URL",
    [{ image_url: {} }],
    "input[0].image_url",
    "must have required property 'url'",
  ],
  ["a member that is unknown", { image_url: "", uuid: "a" }, "input", '"uuid": remove it'],
  [
    "a detail",
    { image_url: { url: "", detail: "most" } },
    "input.image_url.detail",
    "is none of auto, low, high",
  ],
  ["numbers", [1, 2], "input[0]", "must be string or object"],
  ["no image", [], "input", "must NOT have fewer than 1 items"],
])("an input that is not valid is named: %s", async (_name, input, param, message) => {
  const error = await errorOf(await server.embed({ input }));
  expect(error).toMatchObject({ status: 400, param, message: expect.stringContaining(message) });
});

test("a large embedding is the same in both encodings, over several pieces of the stream", async () => {
  const data = Float32Array.from({ length: 256 * 1024 + 1 }, (_, index) => Math.fround(Math.sin(index)));
  const embeddings = [{ ...expected[0]!, tokens: 1, columns: data.length, data } as unknown as Embedding];
  const texts: string[] = [];
  for (const encoding of ["float", "base64"] as const)
    texts.push(
      await text(Readable.from(jsonChunks({ model: "m", encoding, embeddings, turn: async () => {} }))),
    );
  const [float, base64] = texts.map((json) => (JSON.parse(json) as Answer).data[0]!.embedding);
  expect(Float32Array.from(float as number[])).toEqual(data);
  expect(new Float32Array(new Uint8Array(Buffer.from(base64 as string, "base64")).buffer)).toEqual(data);
});

test("the openai client reads embeddings, in its default encoding and in float, and sees errors by class", async () => {
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  for (const encoding of [{}, { encoding_format: "float" as const }]) {
    const { data, usage } = await client.embeddings.create({
      model: "tiny",
      input: dataUrl(images[0]!),
      ...encoding,
    });
    expect(Float32Array.from(data[0]!.embedding)).toEqual(expected[0]!.data);
    expect(usage.prompt_tokens).toBe(8);
  }
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["tiny"]);
  const wrong = client.embeddings.create({ model: "other", input: dataUrl(images[0]!) });
  await expect(wrong).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

test("a form gives an .npy", async () => {
  const response = await post(form([images[0]!]), "application/x-npy");
  expect(response.headers.get("x-vitgraph-grid-thw")).toBe("1,4,8");
  const file = Buffer.from(await response.arrayBuffer());
  expect(file.subarray(0, 8).toString("latin1")).toBe("\x93NUMPY\x01\x00");
  const start = 10 + file.readUInt16LE(8);
  expect(start % 64).toBe(0);
  expect(file.subarray(10, start).toString()).toMatch(
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(8, 16\), \} *\n$/,
  );
  expect(new Float32Array(new Uint8Array(file.subarray(start)).buffer)).toEqual(expected[0]!.data);
});

test("a form gives a safetensors file with a tensor an image", async () => {
  const response = await post(form(images), "application/vnd.safetensors");
  const directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  try {
    const path = join(directory, "answer.safetensors");
    await writeFile(path, Buffer.from(await response.arrayBuffer()));
    await using file = await SafetensorsFile.open(path);
    expect(file.metadata).toEqual({ "0.grid_thw": "[1,4,8]", "1.grid_thw": "[1,6,4]" });
    expect([...file.tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
      ["0", [8, 16]],
      ["1", [6, 16]],
    ]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a stream has a part for each image, and the error of the one that failed", async () => {
  const files = [images[0]!, Buffer.from("not an image"), images[1]!];
  const response = await post(form(files), "multipart/mixed; type=application/x-npy");
  expect(response.status).toBe(200);
  const type = response.headers.get("content-type")!;
  const boundary = /boundary=(.+)$/.exec(type)![1]!;
  const body = Buffer.from(await response.arrayBuffer()).toString("latin1");
  expect(body.endsWith(`--${boundary}--\r\n`)).toBe(true);
  const parts = body.split(`--${boundary}\r\n`).slice(1);
  const byIndex = new Map(parts.map((part) => [Number(/x-vitgraph-index: (\d)/.exec(part)![1]), part]));
  expect([...byIndex.keys()].sort()).toEqual([0, 1, 2]);
  expect(byIndex.get(0)).toContain("x-vitgraph-grid-thw: 1,4,8");
  expect(byIndex.get(1)).toContain("x-vitgraph-status: 400");
  expect(byIndex.get(1)).toContain('"param":"input[1]"');
  const file = byIndex.get(2)!.split("\r\n\r\n")[1]!;
  const data = Buffer.from(file.slice(128, 128 + 6 * 16 * 4), "latin1");
  expect(new Float32Array(new Uint8Array(data).buffer)).toEqual(expected[1]!.data);
});

test.each([
  ["a member that is unknown", { input: "x", encodin_format: "float" }, 'did you mean "encoding_format"?'],
  ["no input", {}, "must have required property 'input'"],
  ["an empty list", { input: [] }, "input"],
  ["a number", { input: 3 }, "input"],
  ["both of image and image_url", { input: { image: "a", image_url: "b" } }, "exactly one"],
  ["another encoding", { input: "data:", encoding_format: "int8" }, "encoding_format"],
  ["more images than the limit", { input: Array.from({ length: 65 }, () => "data:") }, "input"],
])("%s is refused with 400", async (_, body, message) => {
  const error = await errorOf(await server.embed(body));
  expect(error).toMatchObject({ status: 400, type: "invalid_request_error", code: "VG_REQUEST_INVALID" });
  expect(error.message).toContain(message);
});

test("the item that is wrong is named", async () => {
  const input = [dataUrl(images[0]!), dataUrl(Buffer.from("text"))];
  const error = await errorOf(await server.embed({ input }));
  expect(error).toMatchObject({ status: 400, param: "input[1]", code: "VG_IMAGE_INVALID" });
  expect(error.remedy).not.toBeNull();
});

test("JSON that is broken or deep, other media types and compressed bodies are refused", async () => {
  expect(await errorOf(await server.embed('{"input": "secret'))).toMatchObject({
    status: 400,
    message: "the body is not JSON: check it with a JSON parser",
  });
  expect((await server.embed(`{"input": ${"[".repeat(100_000)}`)).status).toBe(400);
  expect((await server.embed("x", { "content-type": "text/plain" })).status).toBe(415);
  expect((await server.embed("x", { "content-encoding": "gzip" })).status).toBe(415);
  expect((await server.embed({ input: "data:" }, { accept: "image/png" })).status).toBe(406);
});

test(".npy of two images is refused", async () => {
  const error = await errorOf(await post(form(images), "application/x-npy"));
  expect(error).toMatchObject({ status: 400, code: "VG_REQUEST_INVALID" });
});

test("a form with an unknown field, and one without files, are refused", async () => {
  expect((await post(form(images, { dtype: "f32" }), "application/json")).status).toBe(400);
  expect((await post(form([], { model: "tiny" }), "application/json")).status).toBe(400);
});

test("every route and answer is in /openapi.json", async () => {
  const api = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
    paths: Record<string, unknown>;
  };
  expect(Object.keys(api.paths).sort()).toEqual([
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/v1/embeddings",
    "/v1/models",
    "/version",
  ]);
});

test("models, health, version and metrics answer", async () => {
  const get = async (path: string) => (await fetch(server.url + path)).json();
  expect(await get("/health")).toEqual({ status: "ready" });
  expect(await get("/health/live")).toEqual({ status: "live" });
  expect(await get("/version")).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  expect(await get("/v1/models")).toMatchObject({ data: [{ id: "tiny", output_columns: [8, 8] }] });
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('vitgraph_http_requests_total{route="/v1/embeddings",status="200"}');
  expect(metrics).toContain("vitgraph_items_total");
});

test("a JSON body is read as UTF-8", async () => {
  const body = JSON.stringify({ input: "a.png", größe: 1 });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${server.url}/v1/embeddings`, { method: "POST", headers, body });
  expect(response.status).toBe(400);
  expect(await response.text()).toContain("größe");
});

test("a large image in JSON is parsed and decoded in turns of its caller", async () => {
  const take = vi.spyOn(LoopTurns.prototype, "take");
  const small = await server.embed({ input: dataUrl(images[0] as Buffer) });
  expect(small.status).toBe(200);
  // To start, and to write the answer.
  expect(take).toHaveBeenCalledTimes(2);
  take.mockClear();
  // 1.4 MB of JSON: six parts.
  const large = await server.embed({ input: dataUrl(Buffer.alloc(1_050_000)) });
  expect(await errorOf(large)).toMatchObject({ status: 400, code: "VG_IMAGE_INVALID" });
  // To start, between the parts, to parse, for the one string, and to decode it.
  expect(take).toHaveBeenCalledTimes(1 + 5 + 1 + 1 + 1);
  take.mockRestore();
});
