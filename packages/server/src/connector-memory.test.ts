/** Rows in memory that vLLM's worker has mapped. The memory is the test's; a GPU's is tested by benchmarks/peer/connector.py. */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bytesOf, type ExportedMemory, f32ToBf16 } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type Answer, connectClient, frame, until } from "../test/connector-client.js";
import { openTestEngine, type TestEngine } from "../test/serve.js";
import { openConnectorSocket } from "./connector-socket.js";

const GPU = "0000:01:00.0";
const GRID = [1, 4, 8] as const;
/** 8 tokens of 16 columns. */
const ROWS_BYTES = 256;

/** Memory that its other process reads as a file; the file's path is the handle. */
class FileMemory implements ExportedMemory {
  readonly sizeBytes: number;
  readonly handle = Buffer.alloc(64);
  readonly bytes: Buffer;
  readonly #file: Awaited<ReturnType<typeof open>>;
  disposed = false;
  disposeFailure: Error | undefined;
  failure: Error | undefined;
  /** A write waits for this promise. */
  held: Promise<void> = Promise.resolve();

  constructor(file: Awaited<ReturnType<typeof open>>, path: string, sizeBytes: number) {
    this.#file = file;
    this.handle.write(path);
    this.sizeBytes = sizeBytes;
    this.bytes = Buffer.alloc(sizeBytes);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.held;
    if (this.failure !== undefined) throw this.failure;
    this.bytes.set(bytes, offset);
    await this.#file.write(bytes, 0, bytes.length, offset);
  }

  [Symbol.dispose](): void {
    if (this.disposeFailure !== undefined) throw this.disposeFailure;
    this.disposed = true;
  }
}

let opened: TestEngine;
beforeAll(async () => {
  opened = await openTestEngine();
});
afterAll(() => opened[Symbol.asyncDispose]());

let directory: string;
let path: string;
let server: AsyncDisposable;
let file: Awaited<ReturnType<typeof open>>;
let exported: FileMemory[];
let lines: string[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vitgraph-"));
  path = join(directory, "socket");
  file = await open(join(directory, "memory"), "w");
  exported = [];
  lines = [];
  const { engine } = opened;
  const log = (_: object, line?: string) => void lines.push(line ?? "");
  server = await openConnectorSocket({
    path,
    directory,
    mappedBytes: 3 * ROWS_BYTES,
    logger: { debug: log, info: log, warn: log, error: log },
    engine: {
      state: engine.state,
      model: engine.model,
      encode: (items, options) => engine.encode(items, options),
      encodeEach: (items, options) => engine.encodeEach(items, options),
      exportMemory(gpu, sizeBytes) {
        if (gpu !== GPU) return null;
        const memory = new FileMemory(file, join(directory, "memory"), sizeBytes);
        exported.push(memory);
        return memory;
      },
    },
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server[Symbol.asyncDispose]();
  await file.close();
  await rm(directory, { recursive: true });
});

const pixelsOf = (seed: number) =>
  Float32Array.from({ length: 32 * 24 }, (_, index) => Math.sin(index + seed));

async function expectedRows(seed: number): Promise<Buffer> {
  const [outcome] = await opened.engine.encode([{ pixel_values: pixelsOf(seed), grid_thw: GRID }]);
  if (outcome?.status !== "fulfilled") throw outcome?.reason;
  return Buffer.from(bytesOf(f32ToBf16(outcome.value.data)));
}

const encode = (id: number, more: object = { engine: "e" }) =>
  frame({ id, op: "encode", grid_thw: GRID, dtype: "float32", ...more }, bytesOf(pixelsOf(id)));

/** A worker that has mapped memory. */
async function mapMemory(engine = "e") {
  const worker = await connectClient(path);
  worker.socket.write(frame({ id: 1, op: "map", engine, gpu: GPU }));
  const { memory } = await worker.next();
  worker.socket.write(frame({ op: "mapped", memory }));
  worker.socket.write(frame({ id: 2, op: "hello" }));
  await worker.next();
  return { ...worker, memory: exported.at(-1) as FileMemory };
}

async function ask(
  client: Awaited<ReturnType<typeof connectClient>>,
  id: number,
  more?: object,
): Promise<Answer> {
  client.socket.write(encode(id, more));
  const answer = await client.next();
  expect(answer).toMatchObject({ id, shape: [8, 16], dtype: "bfloat16" });
  return answer;
}

function rowsAt(memory: FileMemory, { offset }: Answer): Buffer {
  return memory.bytes.subarray(offset as number, (offset as number) + ROWS_BYTES);
}

/** Captures the timers of one minute that are started from now on: one for each connection that closes. */
function minuteTimers() {
  const timers: (() => void)[] = [];
  const real = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms?: number) => {
    if (ms === 60_000) timers.push(run);
    return real(run, ms);
  }) as typeof setTimeout);
  return {
    closed: (count: number) => until(() => timers.length === count),
    pass() {
      for (const run of timers.splice(0)) run();
    },
  };
}

test("rows go to the memory that the engine's worker has mapped, and their place is free once they are released", async () => {
  const worker = await mapMemory();
  const scheduler = await connectClient(path);
  const answers = [await ask(scheduler, 1), await ask(scheduler, 2), await ask(scheduler, 3)];
  expect(answers.map(({ offset }) => offset)).toEqual([0, ROWS_BYTES, 2 * ROWS_BYTES]);
  for (const [index, answer] of answers.entries())
    expect(rowsAt(worker.memory, answer)).toEqual(await expectedRows(index + 1));
  const [, { memory, rows }] = answers as [Answer, Answer];
  worker.socket.write(frame({ op: "release", memory, rows }));
  // Twice, and rows that are not there: nothing.
  worker.socket.write(frame({ op: "release", memory, rows }));
  worker.socket.write(frame({ op: "release", memory: "another", rows: 0 }));
  worker.socket.write(frame({ id: 9, op: "hello" }));
  await worker.next();
  const again = await ask(scheduler, 4);
  expect(again.offset).toBe(ROWS_BYTES);
  expect(rowsAt(worker.memory, again)).toEqual(await expectedRows(4));
  expect(rowsAt(worker.memory, answers[2] as Answer)).toEqual(await expectedRows(3));
});

test("rows that find no room go through shared memory", async () => {
  await mapMemory();
  const scheduler = await connectClient(path);
  for (let id = 1; id <= 3; id++) expect((await ask(scheduler, id)).path).toBeUndefined();
  expect((await ask(scheduler, 4)).path).toContain("vitgraph-rows-");
});

test("rows go through shared memory before the worker has mapped, for other engines, and for who names none", async () => {
  const worker = await connectClient(path);
  worker.socket.write(frame({ id: 1, op: "map", engine: "e", gpu: GPU }));
  expect(await worker.next()).toMatchObject({ id: 1, bytes: 3 * ROWS_BYTES });
  const scheduler = await connectClient(path);
  expect((await ask(scheduler, 1)).path).toBeDefined();
  await mapMemory("f");
  expect((await ask(scheduler, 2)).path).toBeDefined();
  expect((await ask(scheduler, 3, {})).path).toBeDefined();
});

test("a GPU that the engine does not compute on is an answer, and the connection goes on", async () => {
  const worker = await connectClient(path);
  worker.socket.write(frame({ id: 1, op: "map", engine: "e", gpu: "0000:02:00.0" }));
  const { error } = await worker.next();
  expect(error).toMatchObject({ code: "VG_BACKEND_UNAVAILABLE" });
  expect(error?.message).toContain("does not compute on the GPU");
  worker.socket.write(frame({ id: 2, op: "hello" }));
  expect(await worker.next()).toMatchObject({ id: 2, protocol: 1 });
});

test.each([
  ["an engine that is no text", [{ op: "map", engine: 1, gpu: GPU }]],
  ["memory that was not offered", [{ op: "mapped", memory: "x" }]],
  [
    "a second map",
    [
      { op: "map", engine: "e", gpu: GPU },
      { op: "map", engine: "e", gpu: GPU },
    ],
  ],
])("%s ends the connection", async (_name, messages) => {
  const worker = await connectClient(path);
  for (const message of messages) worker.socket.write(frame(message));
  let last: Answer | undefined;
  for (let answer = await worker.next(); answer !== undefined; answer = await worker.next()) last = answer;
  expect(last?.error?.code).toBe("VG_REQUEST_INVALID");
});

test("a device that fails leaves its rows to shared memory", async () => {
  const worker = await mapMemory();
  worker.memory.failure = new VitgraphError("VG_DEVICE_FAILED", "the GPU fell off the bus");
  const scheduler = await connectClient(path);
  expect((await ask(scheduler, 1)).path).toBeDefined();
  worker.memory.failure = undefined;
  expect((await ask(scheduler, 2)).path).toBeDefined();
  expect(lines).toEqual(["rows cannot be written to mapped memory, and go through shared memory"]);
});

test("a worker that is gone disconnects the scheduler that has rows in its memory, which is freed after a minute", async () => {
  const worker = await mapMemory();
  const scheduler = await connectClient(path);
  const other = await connectClient(path);
  await ask(scheduler, 1);
  await ask(other, 2, {});
  const minute = minuteTimers();
  worker.socket.destroy();
  expect(await scheduler.next()).toBeUndefined();
  await minute.closed(2);
  expect(worker.memory.disposed).toBe(false);
  expect((await ask(other, 3)).path).toBeDefined();
  minute.pass();
  expect(worker.memory.disposed).toBe(true);
});

test("memory that cannot be freed is a line in the log, and not the end of the server", async () => {
  const worker = await mapMemory();
  worker.memory.disposeFailure = new VitgraphError("VG_DEVICE_FAILED", "the GPU fell off the bus");
  const minute = minuteTimers();
  worker.socket.destroy();
  await minute.closed(1);
  expect(minute.pass).not.toThrow();
  await until(() => lines.length > 0);
  expect(lines).toEqual(["rows of a closed connector cannot be freed"]);
});

test("rows of a scheduler that is gone keep their place for a minute", async () => {
  await mapMemory();
  const scheduler = await connectClient(path);
  for (let id = 1; id <= 3; id++) await ask(scheduler, id);
  const minute = minuteTimers();
  scheduler.socket.destroy();
  await minute.closed(1);
  const next = await connectClient(path);
  expect((await ask(next, 4)).path).toBeDefined();
  minute.pass();
  expect((await ask(next, 5)).offset).toBe(0);
});

test("rows that are written when their scheduler leaves give their place back", async () => {
  const worker = await mapMemory();
  const scheduler = await connectClient(path);
  let release = () => {};
  worker.memory.held = new Promise((resolve) => {
    release = resolve;
  });
  const write = vi.spyOn(worker.memory, "write");
  for (let id = 1; id <= 3; id++) scheduler.socket.write(encode(id));
  await until(() => write.mock.calls.length === 3);
  const minute = minuteTimers();
  scheduler.socket.destroy();
  await minute.closed(1);
  release();
  const next = await connectClient(path);
  expect((await ask(next, 4)).path).toBeUndefined();
});

test("rows that are written when the worker leaves go through shared memory", async () => {
  const worker = await mapMemory();
  const scheduler = await connectClient(path);
  let release = () => {};
  worker.memory.held = new Promise((resolve) => {
    release = resolve;
  });
  const write = vi.spyOn(worker.memory, "write");
  // Without rows in the memory: that scheduler is not disconnected.
  const minute = minuteTimers();
  const asked = ask(scheduler, 1);
  await until(() => write.mock.calls.length === 1);
  worker.socket.destroy();
  await minute.closed(1);
  release();
  expect((await asked).path).toBeDefined();
});

test("a worker that maps again takes the place of the one before", async () => {
  const first = await mapMemory();
  const scheduler = await connectClient(path);
  await ask(scheduler, 1);
  const second = await mapMemory();
  // The scheduler has rows in the first worker's memory, which must not be read any more.
  expect(await scheduler.next()).toBeUndefined();
  const next = await connectClient(path);
  expect(rowsAt(second.memory, await ask(next, 2))).toEqual(await expectedRows(2));
  first.socket.destroy();
  expect((await ask(next, 3)).path).toBeUndefined();
});

const PYTHON_TESTS = fileURLToPath(new URL("../../vllm-connector/test", import.meta.url));
const hasPython = await promisify(execFile)("python3", ["--version"]).then(
  () => true,
  () => false,
);

test.skipIf(!hasPython)(
  "the connector maps the server's memory, loads rows from it and releases them",
  async () => {
    await writeFile(join(directory, "pixels"), bytesOf(pixelsOf(1)));
    const args = ["ask_vitgraph.py", path, join(directory, "pixels"), GRID.join(","), "8", "8", "1", "ipc"];
    const child = spawn("python3", args, { cwd: PYTHON_TESTS, stdio: ["pipe", "pipe", "inherit"] });
    const [printed] = await once(child.stdout, "data");
    expect(String(printed).trim()).toBe(
      `ipc ${createHash("sha256")
        .update(await expectedRows(1))
        .digest("hex")}`,
    );
    // The first ones came through shared memory, and were deleted.
    await until(async () => !(await readdir(directory)).some((name) => name.startsWith("vitgraph-rows-")));
    // The worker releases its rows, though its request is not finished: there is room for three.
    const scheduler = await connectClient(path);
    let mapped = 0;
    await until(async () => {
      if ((await ask(scheduler, 1, { engine: "engine.0" })).path === undefined) mapped += 1;
      return mapped === 3;
    });
    child.stdin.end("release");
    expect(await once(child, "exit")).toEqual([0, null]);
  },
);
