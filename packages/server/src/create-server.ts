/**
 * The HTTP server in front of an engine: a Fastify instance with the routes of `routes/`. More routes can be registered
 * before it listens.
 *
 * The engine bounds and shares its queue. This file bounds everything before it: access, the time for a request to
 * arrive and an answer to be read, and the memory of requests.
 */
import { randomUUID } from "node:crypto";
import { isIPv4, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import multipart from "@fastify/multipart";
import swagger from "@fastify/swagger";
import { shorten, unknownOption } from "@vitgraph/errors";
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import { ApiKeys } from "./api-keys.js";
import { bodyTooLarge } from "./embedding-input.js";
import { httpError, ParamError, StatusError } from "./http-errors.js";
import { countRequests } from "./http-metrics.js";
import { LoopTurns } from "./loop-turns.js";
import { answerMalformed, malformedStatus, trackResponses } from "./malformed-requests.js";
import type { MediaPolicy } from "./media/read-media.js";
import { MemoryBudget } from "./memory-budget.js";
import { parseJson, textBytes } from "./parse-json.js";
import { findRequestState, requestState, setRequestState } from "./request-state.js";
import { registerChat } from "./routes/chat.js";
import { registerEmbeddings } from "./routes/embeddings.js";
import { registerGateway } from "./routes/gateway.js";
import { registerOperations } from "./routes/operations.js";
import { OPEN_PAGE_ROUTES, registerPage } from "./routes/page.js";
import { registerVllmEncode } from "./routes/vllm-encode.js";
import { type ResolvedServerOptions, resolveServerOptions, type ServerOptions } from "./server-options.js";
import { serverVersion } from "./version.js";

/** Interval at which Node checks for connections that are too slow. */
const CHECK_CONNECTIONS_MS = 1000;
const MAX_HEADER_BYTES = 16_384;
/** Node silently drops headers above `maxHeadersCount`, even Transfer-Encoding. Clients and proxies send some 30. */
const MAX_HEADERS = 200;
/** Headers that select a route, a caller or a parser: two of them are read differently by a proxy and by Node. */
const SINGLE_HEADERS: readonly string[] = ["host", "authorization", "content-type", "content-encoding"];
const RETRY_AFTER_SECONDS = "1";
/** nginx's status for a client that disconnects before its answer. */
const CLIENT_GONE = 499;
/** Routes without a key: for probes, scrapers and the live page's files. All others need one, even those that do not exist. */
const OPEN_ROUTES: readonly string[] = [
  "/health",
  "/health/ready",
  "/health/live",
  "/metrics",
  "/version",
  "/openapi.json",
  ...OPEN_PAGE_ROUTES,
];

/**
 * A server that does not listen yet: `await server.listen({ host, port })`. `server.close()` drains: readiness turns false,
 * running requests finish, and then it resolves. The engine stays open.
 * @throws VG_ARGUMENT_INVALID
 */
export async function createServer(given: ServerOptions): Promise<FastifyInstance> {
  const options = resolveServerOptions(given);
  const { limits, drainDelayMs } = options;
  const budget = new MemoryBudget(limits.maxRequestMemoryBytes);
  const observe = requestObserver(options, budget);
  const app = newFastify(options, observe);
  let draining = false;

  app.removeContentTypeParser(["application/json", "text/plain"]);
  app.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    async (request: FastifyRequest, body: Buffer) => {
      const { memory, turn } = requestState(request);
      const sizeBytes = textBytes(body);
      memory.take(sizeBytes - body.length);
      // Until the body is parsed, its text in parts and the strings that are joined from them take memory too.
      using _ = memory.take(sizeBytes + body.length);
      return await parseJson(body, turn);
    },
  );
  await app.register(multipart, { throwFileSizeLimit: false });
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "vitgraph",
        description: "Embeddings of images, and chat about them.",
        version: serverVersion(),
      },
      ...(options.apiKeys.length === 0
        ? {}
        : {
            components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
            security: [{ key: [] }],
          }),
    },
  });
  addRequestHooks(app, options, budget, observe);
  addErrorHandlers(app, options);
  app.addHook("onSend", async (_request, reply) => {
    // The client's next request goes to another server.
    if (draining) reply.header("connection", "close");
  });
  app.addHook("onResponse", async () => {
    // An answer that began before the drain has kept its connection alive, which would hold the drain for a minute.
    if (draining) setImmediate(() => app.server.closeIdleConnections());
  });
  const unused = unusedConnections(app);
  app.addHook("preClose", async () => {
    draining = true;
    await sleep(drainDelayMs);
    for (const socket of unused.values()) socket.destroy();
  });

  const policy: MediaPolicy = {
    allowedDomains: new Set(options.allowedMediaDomains ?? []),
    localPath: options.allowedLocalMediaPath,
    maxBytes: limits.maxImageBytes,
    fetchMs: limits.fetchMs,
    ...(options.network === undefined ? {} : { network: options.network }),
  };
  if (options.gateway === undefined) registerEmbeddings(app, options, policy);
  else await registerGateway(app, options, policy, options.gateway);
  if (options.vllmEncode !== undefined) registerVllmEncode(app, options, policy, options.vllmEncode);
  if (options.chat !== undefined) registerChat(app, options.chat, options, policy);
  registerOperations(app, options, () => draining);
  if (options.page !== undefined) registerPage(app, options, options.page);
  return app;
}

function newFastify(
  { limits, tls, logger }: ResolvedServerOptions,
  observe: ObserveRequest,
): FastifyInstance {
  const node = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: Math.min(limits.receiveMs, 10_000),
    connectionsCheckingInterval: CHECK_CONNECTIONS_MS,
    // checkHeaders answers with an error object.
    requireHostHeader: false,
  };
  const app = Fastify({
    ...(tls === undefined
      ? { http: node }
      : { https: { ...node, handshakeTimeout: node.headersTimeout, cert: tls.cert, key: tls.key } }),
    bodyLimit: limits.maxBodyBytes,
    requestTimeout: limits.receiveMs,
    // For idle connections. Each request sets its own timeout once its headers have arrived.
    connectionTimeout: limits.receiveMs + limits.encodeMs,
    // While the server drains, requests on open connections are served.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: requestId,
    clientErrorHandler: answerMalformed,
    // A URL that cannot be decoded: no hook runs.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      observe(request, reply);
      sendError(error, request, reply, logger);
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false, strict: false } },
    routerOptions: { maxParamLength: 200 },
  } as object) as FastifyInstance;
  trackResponses(app.server);
  app.server.maxConnections = limits.maxConnections;
  app.server.maxHeadersCount = MAX_HEADERS + 1;
  return app;
}

/**
 * Connections that have sent no request. Node closes idle ones with the server, but not these: browsers and load balancers
 * open them in advance, and each would hold the drain until its headers are overdue. Under TLS a connection is a plain
 * socket until its handshake ends, and then another object with the same addresses.
 */
function unusedConnections({ server }: FastifyInstance): ReadonlyMap<unknown, Socket> {
  const unused = new Map<unknown, Socket>();
  // A Unix socket has no addresses, and is its own name.
  const nameOf = (socket: Socket): unknown => {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    return remotePort === undefined ? socket : [localAddress, localPort, remoteAddress, remotePort].join();
  };
  const add = (socket: Socket) => {
    const name = nameOf(socket);
    unused.set(name, socket);
    socket.once("close", () => {
      if (unused.get(name) === socket) unused.delete(name);
    });
  };
  server.on("connection", add);
  server.on("secureConnection", add);
  server.on("request", ({ socket }: { readonly socket: Socket }) => unused.delete(nameOf(socket)));
  return unused;
}

/** The client's id, if it is harmless in a log, or a new one. */
function requestId({ headers }: { readonly headers: FastifyRequest["headers"] }): string {
  const given = headers["x-request-id"];
  return typeof given === "string" && /^[\w.:-]{1,100}$/.test(given) ? given : randomUUID();
}

/** Gives an answer the request's id, and logs and counts the request when the connection is done with it. */
type ObserveRequest = (request: FastifyRequest, reply: FastifyReply) => void;

function requestObserver({ logger, metrics }: ResolvedServerOptions, budget: MemoryBudget): ObserveRequest {
  const count = metrics === undefined ? undefined : countRequests(metrics, () => budget.heldBytes);

  const record = (request: FastifyRequest, reply: FastifyReply, isSent: boolean) => {
    // The client chooses path and query; the route is one of the server's.
    const route = request.routeOptions.url ?? "none";
    const malformed = malformedStatus(request.raw.socket);
    const status = isSent || reply.raw.headersSent ? reply.statusCode : (malformed ?? CLIENT_GONE);
    const state = findRequestState(request);
    count?.(route, status, reply.elapsedTime / 1000);
    logger?.info(
      {
        requestId: request.id,
        method: request.method,
        route,
        status,
        ...(isSent || malformed !== undefined ? {} : { aborted: true }),
        durationMs: Math.round(reply.elapsedTime),
        ...(state === undefined ? {} : { caller: state.caller }),
      },
      "request",
    );
  };

  return (request, reply) => {
    let isSent = false;
    reply.raw.once("finish", () => {
      isSent = true;
    });
    // Fastify runs onResponse only for complete answers.
    reply.raw.once("close", () => record(request, reply, isSent));
    reply.header("x-request-id", request.id);
  };
}

function addRequestHooks(
  app: FastifyInstance,
  options: ResolvedServerOptions,
  budget: MemoryBudget,
  observe: ObserveRequest,
): void {
  const { limits } = options;
  const keys = new ApiKeys(options.apiKeys);
  const turns = new LoopTurns();

  app.addHook("onRequest", async (request, reply) => {
    observe(request, reply);
    // By route: the path may be written in several ways ("/%76ersion").
    const isOpen = OPEN_ROUTES.includes(request.routeOptions.url ?? "");
    const key = isOpen ? undefined : keys.check(request.headers.authorization);
    const caller = key === undefined ? `address ${request.ip}` : `key ${key}`;
    const memory = budget.open(caller);
    const gone = new AbortController();
    const { answerMs = limits.encodeMs } = request.routeOptions.config;
    const allMs = limits.receiveMs + answerMs + limits.sendMs;
    // Closes the connection if the client stops reading. A request of `inject` has no such socket.
    request.raw.socket.setTimeout?.(limits.receiveMs + answerMs);
    const cut = setTimeout(() => request.raw.socket.destroy(), allMs);
    reply.raw.once("close", () => {
      clearTimeout(cut);
      gone.abort();
      memory.release();
    });
    setRequestState(request, {
      caller,
      memory,
      signal: gone.signal,
      startedAt: performance.now(),
      turn: () => turns.take(caller),
    });
    checkHeaders(request, options);
    const { "content-encoding": encoding = "identity", "content-length": length } = request.headers;
    if (encoding !== "identity")
      throw new StatusError(415, "the body is compressed", "send it without Content-Encoding");
    if (Number(length) > limits.maxBodyBytes) throw bodyTooLarge(limits.maxBodyBytes);
    if (!isOpen) await turns.take(caller);
    // A form's files are charged as they arrive. A chunked body has no length, so the limit is charged.
    const isForm = /^multipart\//i.test(request.headers["content-type"] ?? "");
    const isChunked = request.headers["transfer-encoding"] !== undefined;
    if (!isForm) memory.take(isChunked ? limits.maxBodyBytes : Number(length ?? 0));
  });
}

const HOST = /^(?<name>[\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?$/i;
const LOOPBACK = /^(::ffff:)?127\.|^::1$/;

/** @throws StatusError 400; 421; 431 */
function checkHeaders({ raw }: FastifyRequest, { apiKeys }: ResolvedServerOptions): void {
  const names = raw.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
  if (names.length > MAX_HEADERS)
    throw new StatusError(431, `the request has more than ${MAX_HEADERS} headers`, "send fewer of them");
  for (const name of SINGLE_HEADERS)
    if (names.indexOf(name) !== names.lastIndexOf(name))
      throw new StatusError(400, `the request has more than one header ${name}`, "send one");
  const { host } = raw.headers;
  if (host === undefined && raw.httpVersion === "1.0") return;
  const name = HOST.exec(host ?? "")?.groups?.name;
  if (name === undefined)
    throw new StatusError(400, "the header host is not a host name", "check the client");
  // DNS rebinding: a web page can reach a server on its reader's machine by a name that resolves to 127.0.0.1.
  const isLocal = name.startsWith("[") || isIPv4(name) || /(^|\.)localhost$/i.test(name);
  if (apiKeys.length === 0 && !isLocal && LOOPBACK.test(raw.socket.localAddress ?? ""))
    throw new StatusError(
      421,
      `a server on loopback without API keys is not reached as ${shorten(name)}`,
      "send Host: localhost, or give the server API keys",
    );
}

function addErrorHandlers(app: FastifyInstance, { logger }: ResolvedServerOptions): void {
  app.setErrorHandler((error: FastifyError, request, reply) =>
    sendError(
      error.validation === undefined ? error : validationError(error, bodyMembers(request)),
      request,
      reply,
      logger,
    ),
  );
  app.setNotFoundHandler((request, reply) => {
    const isChat = request.method === "POST" && request.url.split("?", 1)[0] === "/v1/chat/completions";
    const error = isChat
      ? new StatusError(
          404,
          "the server has no language model",
          "start it with a chat engine (vitgraph serve --llm)",
        )
      : new StatusError(404, "the server has no such route", "see /openapi.json");
    return sendError(error, request, reply, logger);
  });
}

/** Names of the members that the route's JSON body may have. */
function bodyMembers({ routeOptions }: FastifyRequest): readonly string[] {
  const body = routeOptions.schema?.body as
    | { readonly properties?: object; readonly content?: Record<string, { readonly schema?: object }> }
    | undefined;
  const schema = body?.content?.["application/json"]?.schema ?? body;
  return Object.keys((schema as { readonly properties?: object } | undefined)?.properties ?? {});
}

function sendError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: ServerOptions["logger"],
): FastifyReply {
  const { status, body } = httpError(error);
  if (status >= 500) {
    const cause = error instanceof ParamError ? error.cause : error;
    logger?.error({ requestId: request.id, err: cause }, "a request failed");
  }
  if (status === 429 || status === 503) reply.header("retry-after", RETRY_AFTER_SECONDS);
  if (status === 401) reply.header("www-authenticate", "Bearer");
  // The rest of its body would be parsed as the next request.
  if (!request.raw.complete) reply.header("connection", "close");
  return reply.code(status).type("application/json").send(body);
}

/** Says what is wrong without quoting the body. @param known members of the route's body */
function validationError({ validation = [] }: FastifyError, known: readonly string[]): ParamError {
  const [first] = validation;
  const path = (first?.instancePath ?? "")
    .slice(1)
    .replaceAll(/\/(\d+)/g, "[$1]")
    .replaceAll("/", ".");
  const unknown = first?.params.additionalProperty;
  if (typeof unknown === "string") {
    const hint = path === "" ? unknownOption(unknown, known) : "remove it";
    const fact = `the request has an unknown member ${JSON.stringify(unknown.slice(0, 100))}`;
    return new ParamError(path === "" ? "body" : path, new StatusError(400, fact, hint));
  }
  const { allowedValues, type } = first?.params ?? {};
  let problem = first?.message ?? "is not valid";
  if (Array.isArray(allowedValues)) problem = `is none of ${allowedValues.map(String).join(", ")}`;
  else if (Array.isArray(type)) problem = `must be ${type.join(" or ")}`;
  const fact = `${path === "" ? "the body" : path} ${problem}`;
  return new ParamError(path === "" ? "body" : path, new StatusError(400, fact, "see /openapi.json"));
}
