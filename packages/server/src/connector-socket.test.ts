/** The socket that vLLM's connector asks: its frames, and the connector itself in Python. */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bytesOf, f32ToBf16 } from "@vitgraph/core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { connectClient, frame, until } from "../test/connector-client.js";
import { openTestEngine, type TestEngine } from "../test/serve.js";
import { openConnectorSocket } from "./connector-socket.js";

const GRID = [1, 4, 8] as const;
const PATCHES = 32;
/** Three channels, two frames, 2 × 2 pixels. */
const ROW = 24;

let opened: TestEngine;
beforeAll(async () => {
  opened = await openTestEngine();
});
afterAll(() => opened[Symbol.asyncDispose]());

let directory: string;
let path: string;
let server: AsyncDisposable;
let lines: object[];
const open = () => {
  const log = (fields: object) => void lines.push(fields);
  const logger = { debug: log, info: log, warn: log, error: log };
  return openConnectorSocket({ path, directory, engine: opened.engine, logger });
};
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  path = join(directory, "socket");
  lines = [];
  server = await open();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const pixels = Float32Array.from({ length: PATCHES * ROW }, (_, index) => Math.sin(index));

async function expectedRows(): Promise<Buffer> {
  const [outcome] = await opened.engine.encode([{ pixel_values: pixels, grid_thw: GRID }]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return Buffer.from(bytesOf(f32ToBf16(outcome.value.data)));
}

const encode = (id: number, more: object = {}, payload: Uint8Array = bytesOf(pixels)) =>
  frame({ id, op: "encode", grid_thw: GRID, dtype: "float32", ...more }, payload);

async function rowsFiles(): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => name.startsWith("vitgraph-rows-"));
}

test("pixel values in, a file of bf16 rows out, until it is released", async () => {
  const { socket, next } = await connectClient(path);
  socket.write(frame({ id: 1, op: "hello" }));
  expect(await next()).toMatchObject({ id: 1, protocol: 1, model_type: "qwen3_vl", columns: 16 });
  socket.write(encode(2));
  const answer = await next();
  expect(answer).toMatchObject({ id: 2, shape: [8, 16], dtype: "bfloat16" });
  expect(await readFile(answer.path)).toEqual(await expectedRows());
  expect((await stat(answer.path)).mode & 0o777).toBe(0o600);
  socket.write(frame({ op: "release", path: answer.path }));
  await until(async () => (await rowsFiles()).length === 0);
  socket.destroy();
});

test("bfloat16 pixel values are widened", async () => {
  const { socket, next } = await connectClient(path);
  const rounded = f32ToBf16(pixels);
  socket.write(encode(1, { dtype: "bfloat16" }, bytesOf(rounded)));
  const exact = Float32Array.from(
    rounded,
    (bits) => new Float32Array(new Uint32Array([bits << 16]).buffer)[0] as number,
  );
  const [outcome] = await opened.engine.encode([{ pixel_values: exact, grid_thw: GRID }]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  expect(await readFile((await next()).path)).toEqual(Buffer.from(bytesOf(f32ToBf16(outcome.value.data))));
  socket.destroy();
});

test("frames may come in any pieces", async () => {
  const { socket, next } = await connectClient(path);
  const bytes = Buffer.concat([frame({ id: 1, op: "hello" }), encode(2), frame({ id: 3, op: "hello" })]);
  for (let at = 0; at < bytes.length; at += 97) {
    socket.write(bytes.subarray(at, at + 97));
    if (at % 5 === 0) await sleep(1);
  }
  const ids = [await next(), await next(), await next()].map(({ id }) => id);
  expect(ids.sort()).toEqual([1, 2, 3]);
  socket.destroy();
});

test.each([
  ["a grid that the pixels do not fit", { grid_thw: [1, 4, 4] }, "VG_ITEM_INVALID"],
  ["no grid", { grid_thw: undefined }, "VG_ITEM_INVALID"],
  ["a grid of text", { grid_thw: "abc" }, "VG_ITEM_INVALID"],
  ["an unknown dtype", { dtype: "float64" }, "VG_REQUEST_INVALID"],
  ["a time that is over", { timeout_ms: 0 }, "VG_DEADLINE_EXCEEDED"],
])("%s is an error of its request alone", async (_name, more, code) => {
  const { socket, next } = await connectClient(path);
  socket.write(encode(1, more));
  expect(await next()).toMatchObject({ id: 1, error: { code } });
  socket.write(encode(2));
  expect(await next()).toMatchObject({ id: 2, shape: [8, 16] });
  socket.destroy();
});

test.each([
  ["an unknown operation", frame({ op: "rm" }), "the operation is"],
  ["no JSON", Buffer.concat([Buffer.from([3, 0, 0, 0]), Buffer.from("abc")]), "a message is abc"],
  ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "a message has"],
  [
    "a payload without end",
    Buffer.concat([Buffer.from([19, 0, 0, 0]), Buffer.from('{"payload":9999e99}')]),
    "a payload has",
  ],
])("%s ends the connection, and no other", async (_name, bytes, message) => {
  const other = await connectClient(path);
  const { socket, next } = await connectClient(path);
  socket.write(bytes);
  expect((await next()).error?.message).toContain(message);
  expect(await next()).toBeUndefined();
  other.socket.write(frame({ id: 1, op: "hello" }));
  expect(await other.next()).toMatchObject({ protocol: 1 });
  other.socket.destroy();
  expect(lines).toHaveLength(1);
});

test("a path that cannot be listened on leaves the process's umask", async () => {
  const before = process.umask();
  const engine = opened.engine;
  await expect(openConnectorSocket({ path: "", directory, engine })).rejects.toMatchObject({
    code: "VG_ARGUMENT_INVALID",
  });
  expect(process.umask(before).toString(8)).toBe(before.toString(8));
});

test("a client that is gone leaves no rows: those to come at once, those that it had after a minute", async () => {
  const timers: (() => void)[] = [];
  const { socket, next } = await connectClient(path);
  socket.write(encode(1));
  await next();
  const real = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms?: number) => {
    if (ms === 60_000) timers.push(run);
    return real(run, ms);
  }) as typeof setTimeout);
  for (let id = 2; id < 20; id++) socket.write(encode(id));
  socket.destroy();
  await until(() => timers.length === 1);
  await until(async () => (await rowsFiles()).length === 1);
  timers[0]?.();
  await until(async () => (await rowsFiles()).length === 0);
});

test("a release of another connection's rows, or of any other file, does nothing", async () => {
  const { socket, next } = await connectClient(path);
  socket.write(encode(1));
  const { path: rows } = await next();
  const precious = join(directory, "precious");
  await writeFile(precious, "");
  const other = await connectClient(path);
  for (const target of [rows, precious, "/etc/passwd"])
    other.socket.write(frame({ op: "release", path: target }));
  other.socket.write(frame({ id: 9, op: "hello" }));
  await other.next();
  expect((await readdir(directory)).sort()).toEqual(["precious", "socket", rows.split("/").at(-1)].sort());
  socket.destroy();
  other.socket.destroy();
});

test("closing leaves rows to their connector; the socket of a killed server is replaced", async () => {
  const { socket, next } = await connectClient(path);
  socket.write(encode(1));
  const { path: kept } = await next();
  await server[Symbol.asyncDispose]();
  expect(await next()).toBeUndefined();
  expect((await readdir(directory)).map((name) => join(directory, name))).toEqual([kept]);
  await rm(kept);
  // Binds, and ends without removing the socket.
  const bind = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  await once(spawn(process.execPath, ["-e", bind]), "exit");
  for (const [name, hours] of [
    ["old", 2],
    ["new", 0],
  ] as const) {
    const left = join(directory, `vitgraph-rows-${name}`);
    await writeFile(left, "");
    const then = new Date(Date.now() - hours * 3_600_000);
    await utimes(left, then, then);
  }
  server = await open();
  expect(await rowsFiles()).toEqual(["vitgraph-rows-new"]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await expect(open()).rejects.toThrow("is in use by another server");
  const file = join(directory, "file");
  await writeFile(file, "");
  await expect(openConnectorSocket({ path: file, directory, engine: opened.engine })).rejects.toThrow(
    "is not a socket",
  );
});

const PYTHON_TESTS = fileURLToPath(new URL("../../vllm-connector/test", import.meta.url));
const python = promisify(execFile);
const hasPython = await python("python3", ["--version"]).then(
  () => true,
  () => false,
);
if (!hasPython) console.warn("python3 is not installed: the tests of vitgraph_vllm are skipped");

test.skipIf(!hasPython)("the connector's own tests, under stubs of vLLM", async () => {
  const { stderr } = await python("python3", ["-m", "unittest"], { cwd: PYTHON_TESTS });
  expect(stderr).toMatch(/Ran 2[0-9] tests/);
  expect(stderr).toMatch(/\nOK/);
});

test.skipIf(!hasPython)(
  "the connector loads the engine's rows through the socket, and releases them",
  async () => {
    const file = join(directory, "pixels");
    await writeFile(file, bytesOf(pixels));
    const args = ["ask_vitgraph.py", path, file, GRID.join(","), "8", "8", "1"];
    const child = spawn("python3", args, { cwd: PYTHON_TESTS, stdio: ["pipe", "pipe", "inherit"] });
    const [printed] = await once(child.stdout, "data");
    expect(String(printed).trim()).toBe(
      createHash("sha256")
        .update(await expectedRows())
        .digest("hex"),
    );
    expect(await rowsFiles()).toHaveLength(1);
    child.stdin.end("release");
    expect(await once(child, "exit")).toEqual([0, null]);
    await until(async () => (await rowsFiles()).length === 0);
  },
);
