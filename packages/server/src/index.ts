/**
 * The entry point of @vitgraph/server: the engine over HTTP. Re-exports only.
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
export { type ConnectorSocketOptions, openConnectorSocket } from "./connector-socket.js";
export { createServer } from "./create-server.js";
export {
  checkEcKey,
  type EcEntry,
  EcStorage,
  type EcStorageOptions,
  ecKeyOfUrl,
} from "./ec-storage.js";
export { checkGridModel } from "./grid-models.js";
export type { ErrorBody } from "./http-errors.js";
export {
  checkInstanceRegistration,
  type InstanceRegistrationOptions,
  registerInstance,
} from "./instance-registration.js";
export type { Network } from "./media/fetch-url.js";
export { RecentTraffic } from "./page/recent-traffic.js";
export {
  checkServerOptions,
  DEFAULT_LIMITS,
  type GatewayOptions,
  type PageOptions,
  type ServedEngine,
  type ServerLimits,
  type ServerOptions,
} from "./server-options.js";
