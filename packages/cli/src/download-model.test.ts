/** Downloads from a hub that this file plays: the requests of @huggingface/hub, and files of a small checkpoint. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { loadModel } from "@vitgraph/core";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { downloadModel, downloadSettings } from "./download-model.js";
import { createFakeIo } from "./testing.js";

const ID = "org/tiny-vl";
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const MODEL = new URL("../../../test/fixtures/qwen3-vl-tiny/", import.meta.url);

let home: string;
let files: Map<string, Uint8Array>;
/** Paths of requests for content, with their ranges. */
let fetched: string[];
let cutAfter: number | undefined;
let url: string;
let close: () => void;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "vitgraph-hub-"));
  files = new Map();
  for (const name of ["config.json", "model.safetensors"])
    files.set(name, await readFile(new URL(name, MODEL)));
  files.set("README.md", new TextEncoder().encode("never read"));
  fetched = [];
  cutAfter = undefined;
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("HF_HUB_CACHE", "");
  vi.stubEnv("HF_ENDPOINT", url);
  vi.stubEnv("HF_TOKEN", "");
});
afterEach(async () => {
  close();
  vi.unstubAllEnvs();
  await rm(home, { recursive: true });
});

function answer({ url: path = "", headers }: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(path, url);
  const json = (value: unknown) =>
    response.setHeader("content-type", "application/json").end(JSON.stringify(value));
  if (pathname === `/api/models/${ID}/revision/main`) return void json({ _id: "1", id: ID, sha: COMMIT });
  if (pathname === `/api/models/${ID}/tree/${COMMIT}`) return void json([...files].map(listed));
  const name = pathname.replace(`/${ID}/resolve/${COMMIT}/`, "");
  const bytes = files.get(name);
  if (bytes === undefined) return void response.writeHead(404).end();
  const [, from = "0", to = ""] = /bytes=(\d+)-(\d*)/.exec(headers.range ?? "") ?? [];
  const last = to === "" ? bytes.length - 1 : Math.min(Number(to), bytes.length - 1);
  if (last > 0) fetched.push(`${name} from ${from}`);
  response.writeHead(206, {
    etag: '"1"',
    "accept-ranges": "bytes",
    "content-range": `bytes ${from}-${last}/${bytes.length}`,
    "content-length": last - Number(from) + 1,
  });
  const part = bytes.subarray(Number(from), last + 1);
  if (cutAfter === undefined || part.length <= cutAfter) return void response.end(part);
  response.write(part.subarray(0, cutAfter), () => response.destroy());
}

/** A file as the hub lists it: a large one with the digest of its content. */
function listed([path, bytes]: [string, Uint8Array]): object {
  const oid = createHash("sha256").update(bytes).digest("hex");
  const isLarge = path.endsWith(".safetensors");
  return {
    type: "file",
    path,
    size: bytes.length,
    oid: oid.slice(0, 40),
    ...(isLarge ? { lfs: { oid, size: bytes.length, pointerSize: 130 } } : {}),
  };
}

const snapshot = () => join(home, "hub", "models--org--tiny-vl", "snapshots", COMMIT);

test("a model is downloaded once, the files of its tower alone, and then loads by its id", async () => {
  const io = createFakeIo();
  await downloadModel(ID, io);
  expect((await readdir(snapshot())).sort()).toEqual(["config.json", "model.safetensors"]);
  expect(io.err).toMatch(/^downloading org\/tiny-vl \(0\.00 GB\) \d+\.\d\d s\n$/);
  await using model = await loadModel(ID);
  expect(model.name).toBe(ID);
  const before = fetched.length;
  await downloadModel(ID, createFakeIo());
  expect(fetched).toHaveLength(before);
});

test("of shards, those with tensors of the tower", async () => {
  const bytes = files.get("model.safetensors") as Uint8Array;
  files.delete("model.safetensors");
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength))) as object;
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  const weightMap = Object.fromEntries(names.map((name) => [name, "model-00002-of-00002.safetensors"]));
  const index = { weight_map: { "lm_head.weight": "model-00001-of-00002.safetensors", ...weightMap } };
  files.set("model.safetensors.index.json", new TextEncoder().encode(JSON.stringify(index)));
  files.set("model-00001-of-00002.safetensors", new Uint8Array(100));
  files.set("model-00002-of-00002.safetensors", bytes);
  await downloadModel(ID, createFakeIo());
  expect(await readdir(snapshot())).not.toContain("model-00001-of-00002.safetensors");
  await using model = await loadModel(ID);
  expect(model.weights.size).toBeGreaterThan(0);
});

test("a connection that is cut is an error", async () => {
  cutAfter = 100_000;
  await expect(downloadModel(ID, createFakeIo())).rejects.toMatchObject({ code: "VG_FILE_UNREADABLE" });
  await expect(stat(join(snapshot(), "model.safetensors"))).rejects.toThrow("ENOENT");
});

test("a download goes on where the last one stopped", async () => {
  await downloadSettings(ID, createFakeIo());
  const bytes = files.get("model.safetensors") as Buffer;
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const part = join(snapshot(), `model.safetensors.${digest}.incomplete`);
  await writeFile(part, bytes.subarray(0, 100_000));
  await downloadModel(ID, createFakeIo());
  expect(fetched).toContain("model.safetensors from 100000");
  expect(bytes.equals(await readFile(join(snapshot(), "model.safetensors")))).toBe(true);
  expect((await readdir(snapshot())).sort()).toEqual(["config.json", "model.safetensors"]);
});

test("bytes that are not those that the hub lists are refused, and not kept", async () => {
  const right = files.get("model.safetensors") as Uint8Array;
  const wrong = Uint8Array.from(right);
  wrong[right.length - 1] = (wrong[right.length - 1] as number) ^ 1;
  const lists = files;
  const io = createFakeIo();
  vi.spyOn(lists, "get").mockImplementation((name) =>
    name === "model.safetensors" ? wrong : Map.prototype.get.call(lists, name),
  );
  await expect(downloadModel(ID, io)).rejects.toThrow("model.safetensors was damaged in the download");
  expect(await readdir(snapshot())).toEqual(["config.json"]);
});

test("a family that vitgraph lacks is refused before its weights are downloaded", async () => {
  const index = { weight_map: { a: "model-00001-of-00001.safetensors" } };
  files.set("config.json", new TextEncoder().encode('{"model_type": "blip_2"}'));
  files.set("model.safetensors.index.json", new TextEncoder().encode(JSON.stringify(index)));
  await expect(downloadModel(ID, createFakeIo())).rejects.toMatchObject({ code: "VG_MODEL_UNSUPPORTED" });
  expect(fetched.filter((path) => path.includes("safetensors from"))).toEqual([]);
});

test("settings alone", async () => {
  expect(await downloadSettings(ID, createFakeIo())).toBe(snapshot());
  expect(await readdir(snapshot())).toEqual(["config.json"]);
});

test("an unknown model, and a hub that is not there", async () => {
  await expect(downloadModel("org/other", createFakeIo())).rejects.toThrow(
    "there is no directory org/other, and the hub has no model of that name that you may read: check the name; for a gated",
  );
  close();
  await expect(downloadModel(ID, createFakeIo())).rejects.toThrow("and the hub gave no model (ECONNREFUSED)");
});

test.each<[string, (snapshots: string) => Promise<unknown>, RegExp]>([
  [
    "a file in a directory's place",
    async (snapshots) => writeFile(dirname(snapshots), ""),
    /^cannot write \S+ \(ENOTDIR\): remove the file in the directory's place, or set HF_HOME/,
  ],
  [
    "a file in the snapshot's place",
    async (snapshots) => {
      await mkdir(snapshots, { recursive: true });
      await writeFile(join(snapshots, COMMIT), "");
    },
    /^cannot write \S+ \(EEXIST\): remove the file/,
  ],
  [
    "a path that is too long",
    async () => vi.stubEnv("HF_HOME", join(home, "x".repeat(300))),
    /^cannot write \S+ \(ENAMETOOLONG\): choose a shorter path, or set HF_HOME/,
  ],
])("a disk's refusal has its own reason: %s", async (_, spoil, message) => {
  await mkdir(join(home, "hub"));
  await spoil(dirname(snapshot()));
  await expect(downloadModel(ID, createFakeIo())).rejects.toMatchObject({
    code: "VG_FILE_UNWRITABLE",
    message: expect.stringMatching(message),
  });
});

test("offline, and for a directory, the hub is not asked", async () => {
  await mkdir(join(home, "org", "tiny-vl"), { recursive: true });
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  await downloadModel(ID, createFakeIo());
  await expect(loadModel(ID)).rejects.toThrow("if it is a model's id, download it: hf download org/tiny-vl");
  vi.stubEnv("HF_HUB_OFFLINE", "");
  await writeFile(join(home, "config.json"), "{}");
  await downloadModel(home, createFakeIo());
  expect(fetched).toEqual([]);
});
