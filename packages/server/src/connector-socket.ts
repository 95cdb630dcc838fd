/**
 * The Unix socket that vLLM's process asks through `vitgraph_vllm`: pixel values in, the rows of their embedding out, as a
 * file in shared memory. docs/vllm-connector.md has the protocol.
 *
 * The peer is a process of the same user: the socket and the files are that user's alone. It is trusted with its own
 * requests, and not with the memory of this process: frames have limits.
 */
import { randomUUID } from "node:crypto";
import { chmod, lstat, readdir, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { bf16ToF32, bytesOf, type Embedding, f32ToBf16, type PixelValuesItem } from "@vitgraph/core";
import type { Logger } from "@vitgraph/core/observability";
import { describe, shorten, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import type { ServedEngine } from "./server-options.js";

export interface ConnectorSocketOptions {
  /** Path of the socket. */
  readonly path: string;
  readonly engine: ServedEngine;
  readonly logger?: Logger;
  /** Where rows are written. Default: /dev/shm. */
  readonly directory?: string;
}

/** Rises when a connector that was right would not be any more. */
export const CONNECTOR_PROTOCOL = 1;

const MAX_JSON_BYTES = 65_536;
/** Pixel values of a full batch of Qwen3-VL, 65 536 patches, have 384 MiB. */
const MAX_PAYLOAD_BYTES = 2 ** 30;
/** Rows that connectors have not released. /dev/shm is also the host's. */
const MAX_ROWS_BYTES = 8 * 2 ** 30;
/**
 * A connector deletes its rows. Those of one that was killed are deleted this long after its connection has closed: a
 * connector that lives on may have promised them to vLLM, which loads them in the same step.
 */
const KEEP_AFTER_CLOSE_MS = 60_000;
const STALE_MS = 60 * 60_000;
const ROWS_PREFIX = "vitgraph-rows-";

interface Message {
  readonly id?: number;
  readonly op?: string;
  readonly grid_thw?: readonly [number, number, number];
  readonly dtype?: string;
  /** Bytes behind the JSON. */
  readonly payload?: number;
  readonly timeout_ms?: number;
  readonly path?: string;
}

/** @throws VG_ARGUMENT_INVALID if the socket cannot be opened */
export async function openConnectorSocket(options: ConnectorSocketOptions): Promise<AsyncDisposable> {
  const { path, logger, directory = "/dev/shm" } = options;
  await removeStaleSocket(path);
  await removeStaleRows(directory);
  const connections = new Set<Socket>();
  const rows = new RowsFiles(directory);
  const server = createServer((socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    void serveConnection(socket, rows, options).catch((err) => logger?.error({ err }, "a connector failed"));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  }).catch((cause) => {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `cannot listen on ${describe(path)} (${cause.code})`, {
      remedy: "choose another --connector-socket",
      cause,
    });
  });
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      // The connectors delete the rows that they have: vLLM may be about to load them.
      for (const socket of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Rows in shared memory that were handed out, and not released yet. */
class RowsFiles {
  readonly #directory: string;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** bf16 [tokens, columns]. @throws VG_QUEUE_FULL, VG_FILE_UNWRITABLE */
  async write(embedding: Embedding): Promise<string> {
    const bytes = embedding.dtype === "bf16" ? embedding.bytes : bytesOf(f32ToBf16(embedding.data));
    if (this.#bytes + bytes.length > MAX_ROWS_BYTES) {
      throw new VitgraphError("VG_QUEUE_FULL", `rows that were not released have ${this.#bytes} bytes`, {
        remedy: "let vLLM encode the image itself",
      });
    }
    const path = join(this.#directory, ROWS_PREFIX + randomUUID());
    this.#sizes.set(path, bytes.length);
    this.#bytes += bytes.length;
    try {
      await writeFile(path, bytes, { flag: "wx", mode: 0o600 });
      return path;
    } catch (cause) {
      await this.remove(path);
      throw toVitgraphError(
        cause,
        "VG_FILE_UNWRITABLE",
        "cannot write rows to shared memory",
        "make /dev/shm larger",
      );
    }
  }

  async remove(path: string): Promise<void> {
    const sizeBytes = this.#sizes.get(path);
    if (sizeBytes === undefined) return;
    this.#sizes.delete(path);
    this.#bytes -= sizeBytes;
    await rm(path, { force: true });
  }
}

let connectionCount = 0;

async function serveConnection(
  socket: Socket,
  rows: RowsFiles,
  options: ConnectorSocketOptions,
): Promise<void> {
  const { engine, logger } = options;
  const caller = `connector ${connectionCount++}`;
  const gone = new AbortController();
  const mine = new Set<string>();
  // The reading loop sees it, too.
  socket.on("error", () => {});
  socket.once("close", () => {
    gone.abort();
    setTimeout(() => {
      for (const path of mine) void rows.remove(path);
    }, KEEP_AFTER_CLOSE_MS).unref();
  });
  const answer = (message: object) => {
    if (socket.writable) socket.write(encodeFrame(message));
  };

  const encode = async ({ id, grid_thw, dtype, timeout_ms: timeoutMs }: Message, payload: Buffer) => {
    try {
      const item = pixelValues(grid_thw, dtype, payload);
      const call = { caller, signal: gone.signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
      const [outcome] = await engine.encode([item], call);
      if (outcome?.status !== "fulfilled") throw outcome?.reason;
      const { tokens, columns } = outcome.value;
      const path = await rows.write(outcome.value);
      // The connector is gone, and will not release it.
      if (gone.signal.aborted) return await rows.remove(path);
      mine.add(path);
      answer({ id, path, shape: [tokens, columns], dtype: "bfloat16" });
    } catch (error) {
      const { code, message } = toVitgraphError(error, "VG_INTERNAL", "encoding failed");
      if (code === "VG_INTERNAL") logger?.error({ err: error }, "a connector's request failed");
      answer({ id, error: { code, message } });
    }
  };

  try {
    for await (const { message, payload } of readFrames(socket)) {
      switch (message.op) {
        case "hello": {
          const { modelType, outputColumns } = engine.model.vision;
          const columns = outputColumns.reduce((sum, width) => sum + width, 0);
          answer({
            id: message.id,
            protocol: CONNECTOR_PROTOCOL,
            model: engine.model.name,
            model_type: modelType,
            columns,
          });
          break;
        }
        case "encode":
          void encode(message, payload);
          break;
        case "release":
          if (message.path !== undefined && mine.delete(message.path)) await rows.remove(message.path);
          break;
        default:
          throw refused(`the operation is ${describe(message.op)}`);
      }
    }
  } catch (error) {
    // A peer that breaks the protocol, or is gone.
    if (VitgraphError.is(error)) {
      logger?.warn({ reason: error.message }, "a connector was disconnected");
      answer({ error: { code: error.code, message: error.message } });
    }
  }
  socket.destroySoon();
}

/** @throws VG_ITEM_INVALID by the engine where grid and pixels do not fit */
function pixelValues(
  grid: Message["grid_thw"] = [0, 0, 0],
  dtype: string | undefined,
  payload: Buffer,
): PixelValuesItem {
  const elementBytes = ({ float32: 4, bfloat16: 2 } as const)[dtype ?? ""];
  if (elementBytes === undefined || payload.length % elementBytes !== 0)
    throw refused(`pixel values have the dtype ${describe(dtype)} and ${payload.length} bytes`);
  // In memory of its own, aligned.
  const { buffer } = new Uint8Array(payload);
  const pixel_values = dtype === "float32" ? new Float32Array(buffer) : bf16ToF32(new Uint16Array(buffer));
  return { pixel_values, grid_thw: grid };
}

/** A little-endian u32 with the length of the JSON, the JSON, and as many bytes as its `payload` says. */
async function* readFrames(
  socket: Socket,
): AsyncGenerator<{ readonly message: Message; readonly payload: Buffer }> {
  const read = byteReader(socket);
  for (;;) {
    const head = await read(4);
    if (head === undefined) return;
    const length = head.readUInt32LE(0);
    if (length > MAX_JSON_BYTES) throw refused(`a message has ${length} bytes`);
    const json = await read(length);
    if (json === undefined) return;
    const message = parse(json);
    const { payload: payloadBytes = 0 } = message;
    if (!(Number.isSafeInteger(payloadBytes) && payloadBytes >= 0 && payloadBytes <= MAX_PAYLOAD_BYTES))
      throw refused(`a payload has ${describe(payloadBytes)} bytes`);
    const payload = await read(payloadBytes);
    if (payload === undefined) return;
    yield { message, payload };
  }
}

/** Reads so many bytes; undefined where the connection ends before. */
function byteReader(socket: Socket): (bytes: number) => Promise<Buffer | undefined> {
  const chunks = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  return async (bytes) => {
    const parts = [rest];
    let have = rest.length;
    while (have < bytes) {
      const { value, done } = await chunks.next();
      if (done === true) return undefined;
      parts.push(value);
      have += value.length;
    }
    const all = parts.length === 1 ? rest : Buffer.concat(parts, have);
    rest = all.subarray(bytes);
    return all.subarray(0, bytes);
  };
}

function parse(json: Buffer): Message {
  try {
    const message: unknown = JSON.parse(json.toString("utf8"));
    if (typeof message === "object" && message !== null) return message;
  } catch {
    // Below.
  }
  throw refused(`a message is ${shorten(json.toString("utf8"))}`);
}

function encodeFrame(message: object): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json]);
}

function refused(fact: string): VitgraphError {
  return new VitgraphError("VG_REQUEST_INVALID", fact, {
    remedy: "use the vitgraph-vllm of the same version",
  });
}

/** Of a server that was killed. @throws VG_ARGUMENT_INVALID if another one listens, or if it is no socket */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  const isServed = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (isServed || !found.isSocket()) {
    const fact = isServed ? "another server listens on" : "a file that is no socket has the path";
    throw new VitgraphError("VG_ARGUMENT_INVALID", `${fact} ${describe(path)}`, {
      remedy: "choose another --connector-socket",
    });
  }
  await rm(path, { force: true });
}

/** Of servers that were killed. Their connectors have long loaded them. */
async function removeStaleRows(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(ROWS_PREFIX)) continue;
    const path = join(directory, name);
    const found = await lstat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS) await rm(path, { force: true });
  }
}
