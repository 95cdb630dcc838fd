/**
 * The door of @vitgraph/server: the engine over HTTP. A barrel, and nothing else.
 *
 * @module @vitgraph/server
 */
export type {
  ChatChunk,
  ChatGeneration,
  ChatMessage,
  ChatPart,
  ChatRequest,
  ChatResult,
  ServedChat,
} from "./chat-engine.js";
export { createServer } from "./create-server.js";
export type { ErrorBody } from "./http-errors.js";
export type { Network } from "./media/fetch-url.js";
export {
  DEFAULT_LIMITS,
  type ServedEngine,
  type ServerLimits,
  type ServerOptions,
} from "./server-options.js";
