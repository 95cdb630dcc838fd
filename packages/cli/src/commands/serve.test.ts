import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { DEFAULT_LIMITS } from "@vitgraph/server";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo, type FakeIo } from "../testing.js";

/** A file that is no PEM. */
const NO_PEM = fileURLToPath(import.meta.url);
const KEY = "a-key-of-the-test-0123456789";

let directory: string;
let image: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeMiniatureCheckpoint(directory);
  const background = { r: 200, g: 30, b: 60 };
  const png = sharp({ create: { width: 16, height: 8, channels: 3, background } }).png();
  await writeFile(join(directory, "photo.png"), await png.toBuffer());
  image = `data:image/png;base64,${(await png.toBuffer()).toString("base64")}`;
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => {
  delete process.env.VITGRAPH_API_KEY;
});

const args = (...more: string[]) => [
  ...["serve", "--model", directory, "--backend", "cpu", "--threads", "1"],
  ...["--mm-processor-kwargs", '{"min_pixels": 16, "max_pixels": 4096}'],
  ...(more.includes("--port") ? [] : ["--port", "0"]),
  ...more,
];

/** Starts the command; `stop` interrupts it and resolves with its exit code. */
async function start(...more: string[]) {
  const io: FakeIo = createFakeIo();
  const ended = main(args(...more), io);
  let isEnded = false;
  void ended.then(() => {
    isEnded = true;
  });
  while (!io.out.includes("listening on") && !isEnded) await sleep(10);
  const url = /listening on (\S+)/.exec(io.out)?.[1] ?? "";
  return {
    io,
    url,
    stop: () => {
      io.interrupt();
      return ended;
    },
  };
}

function embed(
  url: string,
  input: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${url}/v1/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ input }),
  });
}

test("serves embeddings until a signal drains it", async () => {
  const { io, url, stop } = await start(
    "--served-model-name",
    "tiny",
    "-cc",
    '{"cudagraph_mm_encoder": true}',
  );
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const answer = (await (await embed(url, image)).json()) as { model: string; data: { shape: number[] }[] };
  expect([answer.model, answer.data[0]?.shape]).toEqual(["tiny", [8, 16]]);
  expect(await (await fetch(`${url}/metrics`)).text()).toContain("vitgraph_items_total");
  expect(await (await fetch(`${url}/page/state`)).json()).toMatchObject({
    model: "tiny",
    compilationConfig: { cudagraph_mm_encoder: true },
    lintFacts: {
      modelType: "qwen3_vl",
      budgetRange: { min: 64, max: 16_384 },
      images: { spatialMergeSize: 2 },
    },
    sizes: [{ tokens: 8, weight: 1 }],
  });
  expect(await stop()).toBe(0);
  await expect(fetch(`${url}/health`)).rejects.toThrow();
  expect(io.err).toContain('"route":"/v1/embeddings"');
  expect(io.err).toContain("draining");
});

test("keys come from the file, the option and the environment", async () => {
  const file = join(directory, "keys");
  await writeFile(file, `${KEY}\n\n`);
  process.env.VITGRAPH_API_KEY = `${KEY}-environment`;
  const { url, stop } = await start("--api-key-file", file, "--api-key", `${KEY}-option`);
  for (const [key, status] of [
    [KEY, 200],
    [`${KEY}-option`, 200],
    [`${KEY}-environment`, 200],
    [`${KEY}-other`, 401],
  ] as const)
    expect((await embed(url, image, { authorization: `Bearer ${key}` })).status).toBe(status);
  expect(await stop()).toBe(0);
});

test("a path is read below the allowed directory alone", async () => {
  const { url, stop } = await start("--allowed-local-media-path", directory);
  expect((await embed(url, "photo.png")).status).toBe(200);
  const outside = await embed(url, "../photo.png");
  expect(outside.status).toBe(403);
  expect(await outside.text()).toContain(
    "use a path below --allowed-local-media-path (allowedLocalMediaPath)",
  );
  expect(await stop()).toBe(0);
});

test("a socket for vLLM's connector is there while the server runs", async () => {
  const socket = join(directory, "connector.sock");
  const { stop } = await start("--connector-socket", socket);
  expect((await stat(socket)).isSocket()).toBe(true);
  expect(await stop()).toBe(0);
  await expect(stat(socket)).rejects.toMatchObject({ code: "ENOENT" });
});

test("a server that everyone can reach without a key says so", async () => {
  const { io, stop } = await start("--host", "0.0.0.0", "--log-level", "silent");
  expect(io.err).toContain("everyone who reaches 0.0.0.0 can use the server");
  expect(io.out).toMatch(/^listening on http:\S+:\d+, and on every other address of this machine$/m);
  expect(await stop()).toBe(0);
});

test.each([
  [["--prot", "1"], 2, "unknown option '--prot'"],
  [["--port", "70000"], 2, "expected a port"],
  [["--encode-timeout", "1e9"], 2, "expected at most 604800 seconds"],
  [["--parallel", "2"], 2, "--parallel is for chat: add --llm FILE.gguf"],
  [["--ssl-certfile", "cert.pem"], 2, "belong together"],
  [["--log-level", "loud"], 2, "Allowed choices are debug"],
  [["--host", "a", "--host", "b"], 2, "is given twice"],
  [["--api-key", "short"], 1, "shorter than 16 characters"],
  [["--api-key-file", "/nothing"], 1, "check --api-key-file"],
  [["--allowed-media-domains", "https://a.test"], 1, "without scheme"],
  [["--upstream", "vllm:8000"], 1, 'the upstream is "vllm:8000": give an http(s) URL'],
  [
    ["--ssl-certfile", NO_PEM, "--ssl-keyfile", NO_PEM],
    1,
    "error: the certificate and its key cannot be used (ERR_OSSL_PEM_NO_START_LINE): give a certificate chain",
  ],
])("%j is refused before the model is loaded", async (more, code, message) => {
  const io = createFakeIo();
  expect(await main(args(...more), io)).toBe(code);
  expect(io.err).toContain(message);
  expect(io.err).not.toContain("loading");
});

test("the help gives the server's defaults", async () => {
  const io = createFakeIo();
  expect(await main(["serve", "--help"], io)).toBe(0);
  const help = io.out.replaceAll(/\s+/g, " ");
  const mib = (bytes: number) => `${bytes / 2 ** 20}M`;
  const { maxItems, maxImageBytes, maxBodyBytes, maxResponseBytes, maxRequestMemoryBytes, encodeMs, chatMs } =
    DEFAULT_LIMITS;
  expect(help).toContain(`generation (default: ${chatMs / 1000})`);
  expect(help).toContain(`images and videos of one request (default: ${maxItems})`);
  expect(help).toContain(`bytes of one image or video (default: ${mib(maxImageBytes)})`);
  expect(help).toContain(`body (default: ${mib(maxBodyBytes)})`);
  expect(help).toContain(`as f32 (default: ${mib(maxResponseBytes)})`);
  expect(help).toContain(`images, embeddings, answers (default: ${mib(maxRequestMemoryBytes)})`);
  expect(help).toContain(`encode a request's images (default: ${encodeMs / 1000})`);
});

test("a language model that cannot be read is an error before the model is loaded", async () => {
  const io = createFakeIo();
  expect(await main([...args("--port", "0"), "--llm", "missing.gguf"], io)).toBe(1);
  expect(io.err).toMatch(/^error: cannot read missing\.gguf \(ENOENT.*\): give a GGUF file with --llm/);
});

test("a port in use is an error with a remedy, before the model is loaded", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  const io = createFakeIo();
  const code = await main(args("--port", String(port)), io);
  taken.close();
  expect(code).toBe(1);
  expect(io.err).toMatch(/^error: cannot listen on .*: choose another --host or --port/);
});
