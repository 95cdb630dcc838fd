/**
 * The Unix socket of the vLLM connector `vitgraph_vllm`: pixel values in, the rows of their embedding out, in GPU memory that
 * vLLM's worker has mapped or as a file in shared memory. docs/vllm-connector.md has the protocol.
 *
 * Only processes of the same user can open the socket and the files.
 */
import { lstat, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { bf16ToF32, type Embedding, embeddingColumns, type PixelValuesItem } from "@vitgraph/core";
import type { Logger } from "@vitgraph/core/observability";
import { describe, toVitgraphError, VitgraphError } from "@vitgraph/errors";
import { type ConnectorMessage, encodeFrame, protocolError, readFrames } from "./connector-frames.js";
import { ConnectorMemory, DEFAULT_MAPPED_BYTES, type MappedMemory } from "./connector-memory.js";
import { ConnectorRows, removeStaleRows } from "./connector-rows.js";
import type { ServedEngine } from "./server-options.js";

/** The socket on which vLLM's connector asks for embeddings. */
export interface ConnectorSocketOptions {
  /** Path of the socket. */
  readonly path: string;
  readonly engine: ServedEngine;
  readonly logger?: Logger;
  /** Directory for files of rows. Default: /dev/shm. */
  readonly directory?: string;
  /** Bytes of device memory that each vLLM engine's worker maps. Default: 256 MiB. */
  readonly mappedBytes?: number;
}

/** Version of the protocol; a change that breaks older connectors increases it. */
const CONNECTOR_PROTOCOL = 1;

/**
 * Connectors release their rows. Rows that a closed connection did not release are deleted after this time: a connector
 * that still runs may have reported them to vLLM, which loads them in the same step.
 */
const KEEP_AFTER_CLOSE_MS = 60_000;

/**
 * Listens on a Unix socket for vLLM's connector (`vitgraph-vllm`). Dispose of it to close it.
 *
 * @throws VG_ARGUMENT_INVALID if the socket cannot be opened
 */
export async function openConnectorSocket(options: ConnectorSocketOptions): Promise<AsyncDisposable> {
  const { path, engine, logger, directory = "/dev/shm", mappedBytes = DEFAULT_MAPPED_BYTES } = options;
  await removeStaleSocket(path);
  await removeStaleRows(directory);
  const connections = new Set<Socket>();
  const rows = new ConnectorRows(directory);
  const memory = new ConnectorMemory(engine, mappedBytes);
  const server = createServer((socket) => {
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    void serveConnection(socket, rows, memory, options).catch((err) =>
      logger?.error({ err }, "a connector failed"),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    // listen creates the file: a later chmod would let other users connect in between.
    const mask = process.umask(0o177);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(mask);
    }
  }).catch((cause) => {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `cannot listen on ${path} (${cause.code})`, {
      remedy: "choose another path",
      cause,
    });
  });
  return {
    async [Symbol.asyncDispose]() {
      // The connectors delete the rows that they have: vLLM may be about to load them.
      for (const socket of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

let connectionCount = 0;

async function serveConnection(
  socket: Socket,
  rows: ConnectorRows,
  memory: ConnectorMemory,
  options: ConnectorSocketOptions,
): Promise<void> {
  const { engine, logger } = options;
  const caller = `connector ${connectionCount++}`;
  const gone = new AbortController();
  const mine = new Set<string>();
  /** Memory that this connection's worker was offered. */
  let offered: MappedMemory | undefined;
  // The loop that reads frames ends with the error.
  socket.on("error", () => {});
  socket.once("close", () => {
    gone.abort();
    memory.abandon(offered);
    setTimeout(() => {
      freeRest().catch((err) => logger?.error({ err }, "rows of a closed connector cannot be freed"));
    }, KEEP_AFTER_CLOSE_MS).unref();
  });
  const freeRest = async () => {
    memory.releaseOf(socket);
    await Promise.all([
      ...[...mine].map((path) => rows.remove(path)),
      // By now the worker has unmapped the memory.
      (async () => offered?.exported[Symbol.dispose]())(),
    ]);
  };
  const answer = (message: object) => {
    if (socket.writable) socket.write(encodeFrame(message));
  };

  const map = ({ id, engine: vllm, gpu }: ConnectorMessage) => {
    if (typeof vllm !== "string" || typeof gpu !== "string" || offered !== undefined)
      throw protocolError(`${describe(vllm)} maps memory of ${describe(gpu)}`);
    try {
      offered = memory.offer(vllm, gpu);
      const { handle, sizeBytes } = offered.exported;
      answer({ id, memory: offered.id, handle: Buffer.from(handle).toString("base64"), bytes: sizeBytes });
    } catch (error) {
      const { code, message } = toVitgraphError(error, "VG_INTERNAL", "memory could not be exported");
      answer({ id, error: { code, message } });
    }
  };

  /** Undefined if the worker of vLLM's engine has mapped no memory, or the memory is full. */
  const writeMapped = async (vllm: string | undefined, embedding: Embedding) => {
    const mapped = memory.of(vllm);
    try {
      const written = await mapped?.write(embedding, socket);
      // The worker may be gone by now.
      return memory.of(vllm) === mapped ? written : undefined;
    } catch (err) {
      logger?.error({ err }, "rows cannot be written to mapped memory, and go through shared memory");
      memory.abandon(mapped);
      return undefined;
    }
  };

  const encode = async (
    { id, engine: vllm, grid_thw, dtype, timeout_ms: timeoutMs }: ConnectorMessage,
    payload: Buffer,
  ) => {
    try {
      const item = pixelValues(grid_thw, dtype, payload);
      const call = { caller, signal: gone.signal, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
      const [outcome] = await engine.encode([item], call);
      if (outcome?.status !== "fulfilled") throw outcome?.reason;
      const { tokens, columns } = outcome.value;
      const about = { shape: [tokens, columns], dtype: "bfloat16" };
      const mapped = await writeMapped(vllm, outcome.value);
      if (mapped !== undefined) {
        if (gone.signal.aborted) return memory.release(mapped.memory, mapped.rows);
        return answer({ id, ...mapped, ...about });
      }
      const path = await rows.write(outcome.value);
      // A connector that has disconnected does not release the rows.
      if (gone.signal.aborted) return await rows.remove(path);
      mine.add(path);
      answer({ id, path, ...about });
    } catch (error) {
      const { code, message } = toVitgraphError(error, "VG_INTERNAL", "encoding failed");
      if (code === "VG_INTERNAL") logger?.error({ err: error }, "a connector's request failed");
      answer({ id, error: { code, message } });
    }
  };

  try {
    for await (const { message, payload } of readFrames(socket)) {
      switch (message.op) {
        case "hello":
          answer({
            id: message.id,
            protocol: CONNECTOR_PROTOCOL,
            model: engine.model.name,
            model_type: engine.model.vision.modelType,
            columns: embeddingColumns(engine.model.vision),
          });
          break;
        case "encode":
          void encode(message, payload);
          break;
        case "map":
          map(message);
          break;
        case "mapped":
          if (offered === undefined || message.memory !== offered.id)
            throw protocolError(`the memory ${describe(message.memory)} is mapped`);
          memory.confirm(offered);
          break;
        case "release":
          memory.release(message.memory, message.rows);
          if (message.path !== undefined && mine.delete(message.path)) await rows.remove(message.path);
          break;
        default:
          throw protocolError(`the operation is ${describe(message.op)}`);
      }
    }
  } catch (error) {
    // The peer broke the protocol, or has disconnected.
    if (VitgraphError.is(error)) {
      logger?.warn({ reason: error.message }, "a connector was disconnected");
      answer({ error: { code: error.code, message: error.message } });
    }
  }
  socket.destroySoon();
}

/** @throws VG_ITEM_INVALID by the engine where grid and pixels do not fit */
function pixelValues(
  grid: ConnectorMessage["grid_thw"] = [0, 0, 0],
  dtype: string | undefined,
  payload: Buffer,
): PixelValuesItem {
  const elementBytes = ({ float32: 4, bfloat16: 2 } as const)[dtype ?? ""];
  if (elementBytes === undefined || payload.length % elementBytes !== 0)
    throw protocolError(`pixel values have the dtype ${describe(dtype)} and ${payload.length} bytes`);
  // A copy, since the payload need not be aligned.
  const { buffer } = new Uint8Array(payload);
  const pixel_values = dtype === "float32" ? new Float32Array(buffer) : bf16ToF32(new Uint16Array(buffer));
  return { pixel_values, grid_thw: grid };
}

/**
 * Removes the socket of a server that was killed.
 * @throws VG_ARGUMENT_INVALID if another server listens on it, or if the path is not a socket
 */
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
    const fact = isServed ? "is in use by another server" : "is not a socket";
    throw new VitgraphError("VG_ARGUMENT_INVALID", `the path ${path} ${fact}`, {
      remedy: "choose another path",
    });
  }
  await rm(path, { force: true });
}
