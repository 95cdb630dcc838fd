import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { link, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Embedding, f32ToBf16, SafetensorsFile } from "@vitgraph/core";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EC_OPTIONS, patterned, readEcFile } from "../test/ec-files.js";
import { EcStorage, ecKeyOfUrl, YOUNG_MS } from "./ec-storage.js";

vi.mock("node:fs/promises", async (original) => {
  const actual = await original<object & { link: typeof link }>();
  return { ...actual, link: vi.fn(actual.link) };
});

const FILE = "encoder_cache.safetensors";
const MINUTE = 60_000;

let directory: string;
let storage: EcStorage;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  storage = new EcStorage({ ...EC_OPTIONS, path: directory });
});
afterEach(() => rm(directory, { recursive: true }));

/** Makes a file look as if it was used so long ago. */
async function age(path: string, ms: number): Promise<void> {
  const then = new Date(Date.now() - ms);
  await utimes(path, then, then);
}

test("a file is what vLLM's connector loads: ec_cache, bf16, one row a token", async () => {
  const { grid, batch } = patterned();
  const values = Float32Array.from({ length: 2 * 128 }, (_, index) => index / 7 - 3);
  const bytes = new Uint8Array(values.buffer);
  await storage.store("a", new Embedding({ grid, tokens: 2, columns: 128, dtype: "f32", bytes, batch }));
  const { shape, rows } = await readEcFile(directory, "a");
  expect(shape).toEqual([2, 128]);
  expect(new Uint16Array(rows.buffer.slice(rows.byteOffset, rows.byteOffset + rows.length))).toEqual(
    f32ToBf16(values),
  );
  await using file = await SafetensorsFile.open(join(directory, "a", FILE));
  expect([...file.tensors.keys()]).toEqual(["ec_cache"]);
  expect(await readdir(join(directory, "a"))).toEqual([FILE]);
});

test("what was stored is found, by another server of the same model too", async () => {
  expect(await storage.find("a")).toBeUndefined();
  const { grid } = patterned(1, 8);
  await storage.store("a", patterned(1, 8));
  expect(await storage.find("a")).toEqual({ grid, tokens: 8 });
  expect(await new EcStorage({ ...EC_OPTIONS, path: directory }).find("a")).toEqual({ grid, tokens: 8 });
});

test.each(["", ".", "..", "../a", "a/b", "/tmp/a", ".hidden", "a\0b", "a b", "ä", "a\n", "a".repeat(201)])(
  "the key %j is refused, and nothing is written",
  async (key) => {
    const refused = {
      code: "VG_REQUEST_INVALID",
      message: expect.stringContaining("is not a safe file name"),
    };
    await expect(storage.store(key, patterned())).rejects.toMatchObject(refused);
    await expect(storage.find(key)).rejects.toMatchObject(refused);
    expect(await readdir(directory)).toEqual([]);
  },
);

test("the first embedding of a key stays, and every writer gets its grid", async () => {
  const first = await storage.store("a", patterned(1, 8));
  expect(await storage.store("a", patterned(2, 16))).toEqual(first);
  expect((await readEcFile(directory, "a")).shape).toEqual([8, 128]);
});

test.each([
  [
    "of another model",
    async () =>
      new EcStorage({ ...EC_OPTIONS, path: directory, identity: "other" }).store("a", patterned(1, 8)),
  ],
  ["cut off", async () => writeFile(join(directory, "a", FILE), (await wholeFile()).subarray(0, 1000))],
  ["empty", async () => writeFile(join(directory, "a", FILE), "")],
  [
    "that vLLM's own encoder wrote, without metadata",
    async () => writeFile(join(directory, "a", FILE), await foreignFile()),
  ],
])("a file %s is replaced", async (_name, write) => {
  await mkdir(join(directory, "a"));
  await write();
  expect(await storage.find("a")).toBeUndefined();
  expect(await storage.store("a", patterned(2, 16))).toMatchObject({ tokens: 16 });
  expect((await readEcFile(directory, "a")).shape).toEqual([16, 128]);
  expect(await readdir(join(directory, "a"))).toEqual([FILE]);
});

async function wholeFile(): Promise<Buffer> {
  await storage.store("whole", patterned());
  return readFile(join(directory, "whole", FILE));
}

async function foreignFile(): Promise<Buffer> {
  const header = Buffer.from(
    '{"ec_cache":{"dtype":"BF16","shape":[1,128],"data_offsets":[0,256]}}'.padEnd(72),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(72n);
  return Buffer.concat([length, header, Buffer.alloc(256)]);
}

test("writers of one key at the same time: one file, whole, and one grid for all", async () => {
  const other = new EcStorage({ ...EC_OPTIONS, path: directory });
  const entries = await Promise.all(
    Array.from({ length: 16 }, (_, index) =>
      (index % 2 === 0 ? storage : other).store("a", patterned(index, 8 + index)),
    ),
  );
  const { shape, rows } = await readEcFile(directory, "a");
  expect(new Set(entries.map(({ tokens }) => tokens))).toEqual(new Set([shape[0]]));
  expect(rows).toEqual(Buffer.alloc(rows.length, (shape[0] as number) - 8));
  expect(await readdir(join(directory, "a"))).toEqual([FILE]);
});

test("a file system without hard links", async () => {
  vi.mocked(link).mockRejectedValueOnce(Object.assign(new Error("link"), { code: "EPERM" }));
  expect(await storage.store("a", patterned(1, 8))).toMatchObject({ tokens: 8 });
  expect((await readEcFile(directory, "a")).shape).toEqual([8, 128]);
  expect(await readdir(join(directory, "a"))).toEqual([FILE]);
});

test("a directory that cannot be made is an error that does not name its path", async () => {
  await writeFile(join(directory, "taken"), "");
  const blocked = new EcStorage({ ...EC_OPTIONS, path: join(directory, "taken", "below") });
  const error = { code: "VG_FILE_UNWRITABLE", message: expect.not.stringContaining(directory) };
  await expect(blocked.open()).rejects.toMatchObject(error);
  await expect(blocked.store("a", patterned())).rejects.toMatchObject(error);
});

test("files that were not used for maxAgeMs are removed, and then their folders", async () => {
  for (const key of ["old", "used", "new"]) await storage.store(key, patterned(1, 8));
  for (const key of ["old", "used"]) await age(join(directory, key, FILE), 61 * MINUTE);
  await storage.find("used");
  await storage.evict();
  expect([existsSync(join(directory, "old", FILE)), (await readdir(directory)).sort()]).toEqual([
    false,
    ["new", "old", "used"],
  ]);
  await age(join(directory, "old"), YOUNG_MS + MINUTE);
  await storage.evict();
  expect((await readdir(directory)).sort()).toEqual(["new", "used"]);
});

test("above maxBytes the least recently used files are removed, and never a young one", async () => {
  const warnings: object[] = [];
  const drop = () => {};
  const logger = { debug: drop, info: drop, warn: (fields: object) => warnings.push(fields), error: drop };
  const small = new EcStorage({ ...EC_OPTIONS, path: directory, maxBytes: 5000, logger });
  for (const [index, key] of ["a", "b", "c", "d"].entries()) {
    await small.store(key, patterned(1, 8));
    await age(join(directory, key, FILE), (30 - index) * MINUTE);
  }
  await small.evict();
  const left = async () => {
    const keys = await readdir(directory);
    return keys.filter((key) => existsSync(join(directory, key, FILE))).sort();
  };
  // A file of 8 tokens has some 2200 bytes.
  expect(await left()).toEqual(["c", "d"]);
  for (const key of ["e", "f", "g"]) await small.store(key, patterned(1, 8));
  await small.evict();
  expect(await left()).toEqual(["e", "f", "g"]);
  expect(warnings).toEqual([{ bytes: expect.any(Number), maxBytes: 5000 }]);
});

test("a young file is not removed whatever the limits are", async () => {
  const small = new EcStorage({ ...EC_OPTIONS, path: directory, maxBytes: 1, maxAgeMs: YOUNG_MS });
  await small.store("a", patterned(1, 8));
  await age(join(directory, "a", FILE), YOUNG_MS - MINUTE);
  await small.evict();
  expect(existsSync(join(directory, "a", FILE))).toBe(true);
});

test("cleaning up takes what an interrupted writer left, and nothing that is not vitgraph's", async () => {
  await mkdir(join(directory, "a"));
  const left = [`${FILE}.young.tmp`, `${FILE}.old.tmp`, "notes.txt"].map((name) =>
    join(directory, "a", name),
  );
  for (const path of left) await writeFile(path, "");
  for (const path of left.slice(1)) await age(path, 100 * MINUTE);
  await writeFile(join(directory, FILE), "");
  await age(join(directory, FILE), 100 * MINUTE);
  const elsewhere = await mkdtemp(join(tmpdir(), "vitgraph-"));
  await writeFile(join(elsewhere, FILE), "");
  await age(join(elsewhere, FILE), 100 * MINUTE);
  await symlink(elsewhere, join(directory, "link"));
  await storage.evict();
  expect((await readdir(join(directory, "a"))).sort()).toEqual([`${FILE}.young.tmp`, "notes.txt"]);
  expect((await readdir(directory)).sort()).toEqual(["a", FILE, "link"]);
  expect(await readdir(elsewhere)).toEqual([FILE]);
  await rm(elsewhere, { recursive: true });
});

test("options that cannot work are refused", () => {
  const make = (more: object) => () => new EcStorage({ ...EC_OPTIONS, path: directory, ...more });
  expect(make({ maxAgeMs: MINUTE })).toThrow("maxAgeMs is 60000: give at least 600000");
  expect(make({ maxBytes: 0 })).toThrow("maxBytes is 0");
  expect(make({ maxByte: 5 })).toThrow('did you mean "maxBytes"?');
  expect(make({ vision: { modelType: "gemma3", outputColumns: [64] } })).toThrow(
    "vLLM takes no image_grid_thw for the model type gemma3",
  );
});

test("the key of a URL is the proxy's: sha256 of its text", () => {
  expect(ecKeyOfUrl("https://images.test/a.png")).toBe(
    "42b7e8250404f77336bf4e3221332fd36c7bb5065077864022d9c8e42c22c1a4",
  );
});

test("a writer that is killed at any moment leaves no file that a consumer could read half", {
  timeout: 300_000,
}, async () => {
  const child = fileURLToPath(new URL("../test/ec-writer.ts", import.meta.url));
  for (let round = 0; round < 8; round++) {
    const writer = spawn(
      process.execPath,
      ["--import", "tsx", "--conditions=vitgraph-source", child, directory],
      {
        stdio: "inherit",
      },
    );
    try {
      let whole = 0;
      while (whole === 0) whole = await checkAll();
      const end = performance.now() + Math.random() * 100;
      while (performance.now() < end) await checkAll();
    } finally {
      writer.kill("SIGKILL");
      await once(writer, "exit");
    }
    expect(await checkAll()).toBeGreaterThan(0);
    // The next one then writes new files.
    for (const key of await readdir(directory)) await rm(join(directory, key), { recursive: true });
  }
});

/** @returns files that were there, each of them whole */
async function checkAll(): Promise<number> {
  let files = 0;
  for (const key of await readdir(directory)) {
    try {
      const { shape, rows } = await readEcFile(directory, key);
      expect(shape).toEqual([4096, 128]);
      expect([rows[0], rows.at(-1)]).toEqual([7, 7]);
      files += 1;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  await sleep(1);
  return files;
}
