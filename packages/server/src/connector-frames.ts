/**
 * Frames of the connector's protocol: a little-endian u32 with the length of the JSON, the JSON, and as many bytes as its
 * `payload` says. Both lengths are limited, so that a faulty peer cannot exhaust this process's memory.
 */
import type { Socket } from "node:net";
import { describe, isRecord, shorten, VitgraphError } from "@vitgraph/errors";

const MAX_JSON_BYTES = 65_536;
/** Float32 pixel values of a full batch, 65 536 patches of 3 · 2 · 16 · 16, take 384 MiB. */
const MAX_PAYLOAD_BYTES = 2 ** 30;

export interface ConnectorMessage {
  readonly id?: number;
  readonly op?: string;
  readonly grid_thw?: readonly [number, number, number];
  readonly dtype?: string;
  /** Bytes that follow the JSON. */
  readonly payload?: number;
  readonly timeout_ms?: number;
  readonly path?: string;
  /** vLLM's engine: its scheduler and its worker name the same. */
  readonly engine?: string;
  /** PCI bus id of the worker's GPU. */
  readonly gpu?: string;
  /** Id of memory that a worker has mapped, and of rows in it. */
  readonly memory?: string;
  readonly rows?: number;
}

/** @throws VG_REQUEST_INVALID for a frame that is malformed or above a limit */
export async function* readFrames(
  socket: Socket,
): AsyncGenerator<{ readonly message: ConnectorMessage; readonly payload: Buffer }> {
  const read = byteReader(socket);
  for (;;) {
    const head = await read(4);
    if (head === undefined) return;
    const length = head.readUInt32LE(0);
    if (length > MAX_JSON_BYTES) throw protocolError(`a message has ${length} bytes`);
    const json = await read(length);
    if (json === undefined) return;
    const message = parse(json);
    const { payload: payloadBytes = 0 } = message;
    if (!(Number.isSafeInteger(payloadBytes) && payloadBytes >= 0 && payloadBytes <= MAX_PAYLOAD_BYTES))
      throw protocolError(`a payload has ${describe(payloadBytes)} bytes`);
    const payload = await read(payloadBytes);
    if (payload === undefined) return;
    yield { message, payload };
  }
}

/** Reads exactly `bytes` bytes; undefined if the connection ends before. */
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

function parse(json: Buffer): ConnectorMessage {
  try {
    const message: unknown = JSON.parse(json.toString("utf8"));
    if (isRecord(message)) return message;
  } catch {
    // Below.
  }
  throw protocolError(`a message is ${shorten(json.toString("utf8"))}`);
}

export function encodeFrame(message: object): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json]);
}

export function protocolError(fact: string): VitgraphError {
  return new VitgraphError("VG_REQUEST_INVALID", fact, {
    remedy: "use the vitgraph-vllm of the same version",
  });
}
