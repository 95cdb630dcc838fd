/** The server's state of a request: its caller, the memory that it holds, and its deadline. */
import type { EncodeOptions } from "@vitgraph/core";
import type { FastifyRequest } from "fastify";
import type { MemoryLease } from "./memory-budget.js";
import type { ServerLimits } from "./server-options.js";

export interface RequestState {
  /** The caller that the request counts for: an API key's number, or the client's address on a server without keys. */
  readonly caller: string;
  readonly memory: MemoryLease;
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal;
  readonly startedAt: number;
  /** The caller's next turn on the event loop, for work of some milliseconds. */
  readonly turn: () => Promise<void>;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Milliseconds between the arrival of a request and its answer. Default: the limit for encoding. */
    readonly answerMs?: number;
  }
}

const STATES = new WeakMap<FastifyRequest, RequestState>();

export function setRequestState(request: FastifyRequest, state: RequestState): void {
  STATES.set(request, state);
}

/** The state of a request, or undefined if the server's first hook has rejected it. */
export function findRequestState(request: FastifyRequest): RequestState | undefined {
  return STATES.get(request);
}

export function requestState(request: FastifyRequest): RequestState {
  return STATES.get(request) as RequestState;
}

/** Options of a call of the engine, with the time that is left to the request. */
export function encodeOptions(
  { caller, signal, startedAt }: RequestState,
  { receiveMs, encodeMs }: Required<ServerLimits>,
): EncodeOptions {
  const deadline = startedAt + receiveMs + encodeMs;
  return { caller, signal, timeoutMs: Math.min(encodeMs, deadline - performance.now()) };
}
