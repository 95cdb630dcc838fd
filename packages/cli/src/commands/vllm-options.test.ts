/** vLLM's shared storage from the command line: `serve --vllm-encode` and `encode --vllm-ec-cache`. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { ARCHITECTURES, SafetensorsFile } from "@vitgraph/core";
import { writeMiniatureCheckpoint } from "@vitgraph/core/testing";
import { ecKeyOfUrl } from "@vitgraph/server";
import sharp from "sharp";
import { afterEach, beforeEach, expect, test } from "vitest";
import { main } from "../cli.js";
import { createFakeIo } from "../testing.js";

const FILE = "encoder_cache.safetensors";

let directory: string;
let storage: string;
let photo: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  storage = join(directory, "ec");
  photo = join(directory, "photo.png");
  await writeMiniatureCheckpoint(directory);
  await writePng(photo, { r: 200, g: 30, b: 60 });
});
afterEach(async () => {
  delete process.env.ADMIN_API_KEY;
  await rm(directory, { recursive: true });
});

function writePng(path: string, background: { r: number; g: number; b: number; alpha?: number }) {
  const channels = background.alpha === undefined ? 3 : 4;
  return sharp({ create: { width: 16, height: 8, channels, background } })
    .png()
    .toFile(path);
}

const MODEL = () => [
  ...["--model", directory, "--backend", "cpu", "--threads", "1"],
  ...["--mm-processor-kwargs", '{"min_pixels": 16, "max_pixels": 4096}'],
];

async function encode(...args: string[]) {
  const io = createFakeIo();
  const code = await main(["encode", ...MODEL(), "--vllm-ec-cache", storage, ...args], io);
  return { code, out: io.out, err: io.err };
}

async function start(...more: string[]) {
  const io = createFakeIo();
  const args = ["serve", ...MODEL(), "--port", "0", "--vllm-encode", "--shared-storage-path", storage];
  let code: number | undefined;
  const ended = main([...args, "--served-model-name", "tiny", ...more], io).then((value) => {
    code = value;
    return value;
  });
  while (!io.out.includes("listening on") && code === undefined) await sleep(10);
  return {
    io,
    url: /listening on (\S+)/.exec(io.out)?.[1] ?? "",
    stop: () => {
      io.interrupt();
      return ended;
    },
  };
}

/** Asks as vLLM's proxy does. */
async function ask(url: string, part: object): Promise<unknown> {
  const content = [{ type: "image_url", ...part }];
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "tiny", messages: [{ role: "user", content }], stream: false }),
  });
  return ((await response.json()) as { ec_transfer_params?: unknown }).ec_transfer_params;
}

async function rows(key: string): Promise<Uint8Array> {
  await using file = await SafetensorsFile.open(join(storage, key, FILE));
  return (await file.read("ec_cache")).bytes;
}

test("encode names a shared storage that cannot be written", async () => {
  const blocked = join(directory, "config.json", "cache");
  const io = createFakeIo();
  const code = await main(
    ["encode", join(directory, "config.json"), ...MODEL(), "--vllm-ec-cache", blocked],
    io,
  );
  expect(io.err).toContain(`error: cannot write ${blocked} (ENOTDIR: `);
  expect(code).toBe(1);
});

test.each([
  ["serve --vllm-encode", () => ["serve", "--vllm-encode", "--shared-storage-path", storage]],
  ["serve --upstream", () => ["serve", "--upstream", "http://127.0.0.1:1"]],
  ["encode --vllm-ec-cache", () => ["encode", photo, "--vllm-ec-cache", storage]],
])("%s refuses a model by its config.json, if vLLM takes no grid for it", async (_, args) => {
  await writeFile(join(directory, "config.json"), JSON.stringify(ARCHITECTURES["gemma-3-4b"]));
  await rm(join(directory, "model.safetensors"));
  const io = createFakeIo();
  expect(await main([...args(), "--model", directory, "--backend", "cpu"], io)).toBe(1);
  expect(io.err).toBe(
    "error: vLLM takes no image_grid_thw for the model type gemma3: use one of qwen2_vl, qwen2_5_vl, qwen2_5_omni, qwen3_vl, qwen3_vl_moe, qwen3_5, qwen3_5_moe, qwen3_omni_moe [VG_MODEL_UNSUPPORTED]\n",
  );
  expect(existsSync(storage)).toBe(false);
});

test("serve writes what encode wrote, and takes its file as its own", async () => {
  const key = ecKeyOfUrl(pathToFileURL(photo).href);
  const { code, out } = await encode(photo);
  expect([code, await readdir(storage)]).toEqual([0, [key]]);
  expect(out).toContain(`photo.png  ${key}`);
  expect(out).toContain(`wrote 1 file to ${storage}`);
  const before = await readFile(join(storage, key, FILE));
  const { ino } = await stat(join(storage, key, FILE));
  const { url, stop } = await start();
  const reported = { metadata: { image_grid_thw: [[1, 4, 8]] }, item_indices: [0] };
  expect(await ask(url, { image_url: null, uuid: key })).toEqual({ [key]: reported });
  const image = `data:image/png;base64,${(await readFile(photo)).toString("base64")}`;
  expect(await ask(url, { image_url: { url: image }, uuid: "again" })).toEqual({ again: reported });
  expect(await stop()).toBe(0);
  expect((await stat(join(storage, key, FILE))).ino).toBe(ino);
  expect(await readFile(join(storage, "again", FILE))).toEqual(before);
});

test("transparent pixels are white, as in vLLM, unless another colour is given", async () => {
  for (const [name, color] of Object.entries({
    clear: { r: 255, g: 0, b: 0, alpha: 0 },
    white: { r: 255, g: 255, b: 255 },
    red: { r: 255, g: 0, b: 0 },
  }))
    await writePng(join(directory, `${name}.png`), color);
  const files = ["clear", "white", "red"].map((name) => join(directory, `${name}.png`));
  const keys = ["clear", "white", "red"].flatMap((name) => ["--vllm-ec-key", name]);
  expect((await encode(...keys, ...files)).code).toBe(0);
  expect(await rows("clear")).toEqual(await rows("white"));
  const { url, stop } = await start();
  const clear = `data:image/png;base64,${(await readFile(files[0]!)).toString("base64")}`;
  await ask(url, { image_url: { url: clear }, uuid: "served" });
  expect(await rows("served")).toEqual(await rows("white"));
  expect(await stop()).toBe(0);
  const red = await start("--rgba-background-color", "#ff0000");
  // The file is of other settings, so it is replaced.
  await ask(red.url, { image_url: { url: clear }, uuid: "served" });
  expect(await rows("served")).toEqual(await rows("red"));
  expect(await red.stop()).toBe(0);
});

test("--vllm-ec-key takes uuids, and URLs by the proxy's rule", async () => {
  const other = join(directory, "other.png");
  await writePng(other, { r: 1, g: 2, b: 3 });
  const url = "https://images.test/a.png";
  expect((await encode("--vllm-ec-key", "photo-7", "--vllm-ec-key", url, photo, other)).code).toBe(0);
  expect((await readdir(storage)).sort()).toEqual(["photo-7", ecKeyOfUrl(url)].sort());
});

test.each([
  [["--vllm-ec-key", "a", "--vllm-ec-key", "b", "PHOTO"], "given 2 times for 1 file"],
  [["--vllm-ec-key", "../a", "PHOTO"], "is not a safe file name"],
  [["-"], "standard input has no URL"],
  [["PHOTO", "clip.mp4"], "takes no video, such as clip.mp4"],
  [["--video", "PHOTO"], "takes no video"],
])("encode %j is refused before the model is loaded", async (args, message) => {
  const { code, err } = await encode(...args.map((arg) => arg.replace("PHOTO", photo)));
  expect([code, err.includes("loading"), existsSync(storage)]).toEqual([1, false, false]);
  expect(err).toContain(message);
});

test("registers with the proxy's key, and takes itself off the list when it stops", async () => {
  const calls: unknown[] = [];
  const proxy = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      calls.push([request.method, request.url, request.headers["x-api-key"], body && JSON.parse(body)]);
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const keyFile = join(directory, "key");
  await writeFile(keyFile, "from-the-file\n");
  process.env.ADMIN_API_KEY = "from-the-environment";
  const plain = await start("--register", proxyUrl);
  while (calls.length === 0) await sleep(5);
  expect(await plain.stop()).toBe(0);
  const url = "http://encoder-1:8000";
  const named = await start("--register", proxyUrl, "--register-key-file", keyFile, "--instance-url", url);
  while (calls.length === 2) await sleep(5);
  expect(await named.stop()).toBe(0);
  proxy.close();
  const registered = (of: string) => ({ role: "encode", url: of, ec_zmq_addrs: [], dp_size: 1 });
  const escaped = (of: string) => `/instances?url=${encodeURIComponent(of)}`;
  expect(calls).toEqual([
    ["POST", "/instances", "from-the-environment", registered(plain.url)],
    ["DELETE", escaped(plain.url), "from-the-environment", ""],
    ["POST", "/instances", "from-the-file", registered(url)],
    ["DELETE", escaped(url), "from-the-file", ""],
  ]);
});

test.each([
  [["--vllm-encode"], 2, "--vllm-encode needs --shared-storage-path"],
  [["--shared-storage-path", "a"], 2, "no effect without --vllm-encode or --upstream: add one of them"],
  [["--upstream", "http://a", "--register", "http://b"], 2, "--register has no effect without --vllm-encode"],
  [["--upstream", "http://a", "--shared-storage-max-age", "900"], 2, "without --shared-storage-path"],
  [["--upstream", "http://a", "--vllm-encode"], 2, "exclude each other"],
  [["--upstream", "http://a", "--llm", "a.gguf"], 2, "--llm answers chats itself"],
  [["--upstream", "vllm:80"], 1, 'the upstream is "vllm:80"'],
  [
    ["--vllm-encode", "--shared-storage-path", "STORAGE", "--instance-url", "http://a"],
    2,
    "without --register",
  ],
  [
    ["--vllm-encode", "--shared-storage-path", "STORAGE", "--shared-storage-max-age", "60"],
    2,
    "'60' is invalid. expected at least 600 seconds",
  ],
  [
    ["--vllm-encode", "--shared-storage-path", "STORAGE", "--register", "http://a"],
    1,
    "there is no admin key",
  ],
])("serve %j is refused", async (args, code, message) => {
  const io = createFakeIo();
  const more = args.map((arg) => arg.replace("STORAGE", storage));
  expect(await main(["serve", ...MODEL(), "--port", "0", ...more], io)).toBe(code);
  expect(io.err).toContain(message);
});

test("an instance that listens on every address has to be told its own", async () => {
  process.env.ADMIN_API_KEY = "key";
  const { io, stop } = await start("--register", "http://127.0.0.1:9", "--host", "0.0.0.0");
  expect(await stop()).toBe(1);
  expect(io.err).toBe(
    "error: --register needs the server's URL: 0.0.0.0 listens on all addresses: give the server's URL with --instance-url [VG_ARGUMENT_INVALID]\n",
  );
});

test.each([
  [["--register", "proxy:80"], '--register is "proxy:80": give an http(s) URL'],
  [
    ["--register", "http://127.0.0.1:9", "--instance-url", "10.0.0.1"],
    '--instance-url is "10.0.0.1": give an http(s) URL',
  ],
])("an instance's URLs are checked before the model is loaded: %j", async (args, message) => {
  process.env.ADMIN_API_KEY = "key";
  const { io, stop } = await start(...args);
  expect(await stop()).toBe(1);
  expect(io.err).toContain(`error: ${message}`);
  expect(io.err).not.toContain("loading");
});

test("--upstream is a gateway: vLLM gets embeddings in the place of images", async () => {
  const bodies: string[] = [];
  const vllm = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      bodies.push(body);
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => vllm.listen(0, "127.0.0.1", resolve));
  const upstream = `http://127.0.0.1:${(vllm.address() as AddressInfo).port}`;
  const image = `data:image/png;base64,${(await readFile(photo)).toString("base64")}`;
  for (const more of [[], ["--shared-storage-path", storage]]) {
    const io = createFakeIo();
    const ended = main(["serve", ...MODEL(), "--port", "0", "--upstream", upstream, ...more], io);
    while (!io.out.includes("listening on")) await sleep(10);
    const url = /listening on (\S+)/.exec(io.out)?.[1] ?? "";
    await ask(url, { image_url: { url: image }, uuid: "photo" });
    io.interrupt();
    expect(await ended).toBe(0);
  }
  vllm.close();
  expect(bodies.map((body) => JSON.parse(body).messages[0].content[0])).toEqual([
    {
      type: "image_embeds",
      image_embeds: { image_embeds: expect.any(String), image_grid_thw: [1, 4, 8] },
      uuid: "photo",
    },
    { type: "image_embeds", image_embeds: { image_grid_thw: [1, 4, 8] }, uuid: "photo" },
  ]);
  expect(await readdir(storage)).toEqual(["photo"]);
});
