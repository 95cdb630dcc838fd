/**
 * Requests that Node's parser rejects, or that arrive too slowly: `clientError`. They get an error object as all others,
 * and the connection is closed.
 */
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { httpError, StatusError } from "./http-errors.js";

const MALFORMED: Readonly<Record<string, readonly [status: number, text: string, fact: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "the request did not arrive in time"],
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "the headers are too large"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [
    413,
    "Content Too Large",
    "the extensions of the body's chunks are too large",
  ],
};
/** The client closed the connection within a request. */
const CLOSED_WITHIN_REQUEST = "HPE_INVALID_EOF_STATE";

interface Connection {
  /** Responses that are not complete: several if the client pipelines. */
  readonly open: Set<ServerResponse>;
  /** The status that was written for a malformed request. */
  malformedStatus?: number;
}

const CONNECTIONS = new WeakMap<Socket, Connection>();

/** Tracks a server's responses, so that {@link answerMalformed} writes nothing into the body of one. */
export function trackResponses(server: Server): void {
  server.on("request", ({ socket }, response) => trackResponse(socket, response));
}

function trackResponse(socket: Socket, response: ServerResponse): void {
  const connection = CONNECTIONS.get(socket) ?? { open: new Set() };
  CONNECTIONS.set(socket, connection);
  connection.open.add(response);
  response.once("close", () => connection.open.delete(response));
}

/** The status that a request's connection was closed with because the request is malformed or too slow. */
export function malformedStatus(socket: Socket): number | undefined {
  return CONNECTIONS.get(socket)?.malformedStatus;
}

/** Answers a request that Node's parser rejects, and closes the connection. */
export function answerMalformed(error: NodeJS.ErrnoException, socket: Socket | TLSSocket): void {
  // Before the handshake ends, a write would wait for it, and the connection would stay open.
  if ("secureConnecting" in socket && socket.secureConnecting) {
    socket.destroy();
    return;
  }
  const code = error.code ?? "";
  const [status, text, fact] = MALFORMED[code] ?? [400, "Bad Request", "the request is not HTTP/1.1"];
  const body = JSON.stringify(httpError(new StatusError(status, fact, "check the client")).body);
  const head = `HTTP/1.1 ${status} ${text}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}`;
  const connection = CONNECTIONS.get(socket);
  const isAnswering = [...(connection?.open ?? [])].some(({ headersSent }) => headersSent);
  if (socket.writable && !isAnswering) {
    socket.write(`${head}\r\nconnection: close\r\n\r\n${body}`);
    if (connection !== undefined && code !== CLOSED_WITHIN_REQUEST) connection.malformedStatus = status;
  }
  socket.destroySoon();
}
