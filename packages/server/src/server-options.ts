/** The options of a server, their defaults and their checks. */
import { createSecureContext } from "node:tls";
import type { LintFacts } from "@vitgraph/config";
import type { EncoderEngine } from "@vitgraph/core";
import type { EngineMetrics, Logger } from "@vitgraph/core/observability";
import { checkOptions, describe, VitgraphError } from "@vitgraph/errors";
import type { ServedChat } from "./chat-engine.js";
import type { EcStorage } from "./ec-storage.js";
import type { Network } from "./media/fetch-url.js";
import { RecentTraffic } from "./page/recent-traffic.js";

/** The part of an engine that the server uses. `EncoderEngine` implements it. */
export type ServedEngine = Pick<EncoderEngine, "state" | "encode" | "encodeEach"> & {
  /** For the socket of vLLM's connector. Without it rows go through shared memory. */
  readonly exportMemory?: EncoderEngine["exportMemory"];
  readonly model: {
    readonly name: string;
    readonly vision: { readonly outputColumns: readonly number[]; readonly modelType?: string };
  };
};

/** Limits of a server; {@link DEFAULT_LIMITS} has the defaults. */
export interface ServerLimits {
  /** Images and videos of one request. Default: 64. */
  readonly maxItems?: number;
  /** Bytes of one encoded image or video. Default: 20 MiB. */
  readonly maxImageBytes?: number;
  /** Bytes of one request's body. Default: 64 MiB. */
  readonly maxBodyBytes?: number;
  /** Bytes of one request's embeddings, as f32. Default: 256 MiB. */
  readonly maxResponseBytes?: number;
  /** Bytes that all requests hold: bodies, three times until they are parsed, images, embeddings, answers. Default: 2 GiB. */
  readonly maxRequestMemoryBytes?: number;
  /** Open connections. Default: 1024. */
  readonly maxConnections?: number;
  /** Milliseconds to receive a request. Default: 30 000. All times are at most a week. */
  readonly receiveMs?: number;
  /** Milliseconds to fetch one URL. Default: 10 000. */
  readonly fetchMs?: number;
  /** Milliseconds to fetch and encode a request's images. Default: 60 000. */
  readonly encodeMs?: number;
  /** Milliseconds for a chat answer: images, waiting and generation. Default: 600 000. */
  readonly chatMs?: number;
  /** Milliseconds to send an answer. Default: 60 000. */
  readonly sendMs?: number;
}

/** The vLLM server behind the gateway, and how it gets the embeddings. */
export interface GatewayOptions {
  /** Base URL of the vLLM server. */
  readonly upstream: string;
  /**
   * Storage from which vLLM's ECExampleConnector loads the embeddings. Default: the request has them as `image_embeds`,
   * which needs vLLM's `--enable-mm-embeds`.
   */
  readonly storage?: EcStorage;
}

/** The data of the live page: traffic, compilation config and facts about the model. */
export interface PageOptions {
  /** An observer of the engine. */
  readonly traffic: RecentTraffic;
  /** The engine's compilation config, for the page's editor. */
  readonly compilationConfig?: Readonly<Record<string, unknown>>;
  /** Facts about the model, for the editor's linter. */
  readonly lintFacts?: LintFacts;
}

/** Options of `createServer`. */
export interface ServerOptions {
  /** The caller closes it, not the server. */
  readonly engine: ServedEngine;
  /** Answers /v1/chat/completions: an engine of @vitgraph/llama-cpp, which the caller closes. Default: no chat. */
  readonly chat?: ServedChat;
  /** An observer of the engine, for /metrics. Without it there is no /metrics. */
  readonly metrics?: EngineMetrics;
  /** The live page at /. Default: none. */
  readonly page?: PageOptions;
  /** Default: no log. */
  readonly logger?: Logger;
  /** The model's name in the API. Default: the engine's. */
  readonly modelName?: string;
  /** The chat model's name in the API. Default: the chat engine's. */
  readonly chatModelName?: string;
  /**
   * API keys. All routes except probes, metrics and the API's description need one. Default: none, and everyone has
   * access.
   */
  readonly apiKeys?: readonly string[];
  /** Hosts that images may be fetched from, with the port if it is not 80 or 443. Default: none. */
  readonly allowedMediaDomains?: readonly string[];
  /** Directory of images that a request may name by path. Default: none. */
  readonly allowedLocalMediaPath?: string;
  /** Certificate chain and private key, PEM. Default: plain HTTP. */
  readonly tls?: { readonly cert: string | Uint8Array; readonly key: string | Uint8Array };
  /** Milliseconds between "not ready" and closing the port, in which a load balancer takes the server out. Default: 0. */
  readonly drainDelayMs?: number;
  readonly limits?: ServerLimits;
  /**
   * Makes the server an encode instance of vLLM: POST /v1/chat/completions writes embeddings to this storage. The server
   * opens it and cleans it up. Default: no such route.
   */
  readonly vllmEncode?: EcStorage;
  /**
   * Makes the server a gateway in front of an ordinary vLLM server: images of chats are replaced by their embeddings,
   * and all other requests, except probes and metrics, are forwarded unchanged. Default: no gateway.
   */
  readonly gateway?: GatewayOptions;
  /** For tests: name resolution and connections of fetched images. */
  readonly network?: Network;
}

const OPTIONS = {
  engine: true,
  chat: true,
  metrics: true,
  page: true,
  logger: true,
  modelName: true,
  chatModelName: true,
  apiKeys: true,
  allowedMediaDomains: true,
  allowedLocalMediaPath: true,
  tls: true,
  drainDelayMs: true,
  limits: true,
  vllmEncode: true,
  gateway: true,
  network: true,
} satisfies Record<keyof ServerOptions, true>;

/** Limits of a server without `limits`. */
export const DEFAULT_LIMITS: Required<ServerLimits> = {
  maxItems: 64,
  maxImageBytes: 20 << 20,
  maxBodyBytes: 64 << 20,
  maxResponseBytes: 256 << 20,
  maxRequestMemoryBytes: 2 ** 31,
  maxConnections: 1024,
  receiveMs: 30_000,
  fetchMs: 10_000,
  encodeMs: 60_000,
  chatMs: 600_000,
  sendMs: 60_000,
};

/** Longest time limit, a week: setTimeout treats a delay above 24 days as 1 ms, and a request's limits add up. */
const MAX_LIMIT_MS = 7 * 24 * 3_600_000;

/** An API key shorter than this can be guessed. */
const SHORTEST_KEY = 16;

export interface ResolvedServerOptions extends ServerOptions {
  readonly modelName: string;
  readonly apiKeys: readonly string[];
  readonly drainDelayMs: number;
  readonly limits: Required<ServerLimits>;
}

/** @throws VG_ARGUMENT_INVALID */
export function resolveServerOptions(options: ServerOptions): ResolvedServerOptions {
  const { engine, limits = {}, apiKeys = [], drainDelayMs = 0 } = options;
  checkServerOptions(options);
  if (typeof engine?.encodeEach !== "function")
    throw invalid(`engine is ${describe(engine)}`, "pass an EncoderEngine");
  const given = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined));
  return {
    ...options,
    modelName: options.modelName ?? engine.model.name,
    apiKeys,
    drainDelayMs,
    limits: { ...DEFAULT_LIMITS, ...given },
  };
}

/**
 * Checks options of `createServer` before there is an engine, which can take minutes to load.
 * @throws VG_ARGUMENT_INVALID
 */
export function checkServerOptions(options: Partial<ServerOptions>): void {
  checkOptions("createServer", options, Object.keys(OPTIONS));
  const { chat, page, gateway, vllmEncode, tls, drainDelayMs = 0 } = options;
  if (chat !== undefined && typeof chat?.chat !== "function")
    throw invalid(`chat is ${describe(chat)}`, "pass a LlamaEngine of @vitgraph/llama-cpp");
  if (page !== undefined) checkPage(page);
  checkLimits(options.limits ?? {});
  if ([gateway, vllmEncode, chat].filter((route) => route !== undefined).length > 1) {
    throw invalid(
      "two of chat, vllmEncode and gateway answer /v1/chat/completions",
      "start a server for each",
    );
  }
  if (gateway !== undefined) checkGateway(gateway);
  for (const key of options.apiKeys ?? []) checkApiKey(key);
  for (const domain of options.allowedMediaDomains ?? []) checkDomain(domain);
  if (tls !== undefined) checkTls(tls);
  if (!(drainDelayMs >= 0 && drainDelayMs <= MAX_LIMIT_MS))
    throw invalid(`drainDelayMs is ${describe(drainDelayMs)}`, `give 0 to ${MAX_LIMIT_MS}, a week`);
}

function checkPage(page: PageOptions): void {
  checkOptions("the page of createServer", page, ["traffic", "compilationConfig", "lintFacts"]);
  if (!(page.traffic instanceof RecentTraffic))
    throw invalid(`page.traffic is ${describe(page.traffic)}`, "pass a RecentTraffic");
}

function checkLimits(limits: ServerLimits): void {
  checkOptions("the limits of createServer", limits, Object.keys(DEFAULT_LIMITS));
  for (const [name, value] of Object.entries(limits)) {
    if (value === undefined) continue;
    if (!(Number.isSafeInteger(value) && value > 0))
      throw invalid(`limits.${name} is ${describe(value)}`, "give a positive whole number");
    if (name.endsWith("Ms") && value > MAX_LIMIT_MS)
      throw invalid(`limits.${name} is ${describe(value)}`, `give at most ${MAX_LIMIT_MS}, a week`);
  }
}

function checkGateway(gateway: GatewayOptions): void {
  checkOptions("the gateway of createServer", gateway, ["upstream", "storage"]);
  const url = URL.canParse(gateway.upstream) ? new URL(gateway.upstream) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "")
    throw invalid(
      `the upstream is ${describe(gateway.upstream)}`,
      "give an http(s) URL: http://127.0.0.1:8000",
    );
}

function checkApiKey(key: unknown): void {
  if (typeof key === "string" && /^[\x21-\x7e]+$/.test(key) && key.length >= SHORTEST_KEY) return;
  throw invalid(
    `an API key is shorter than ${SHORTEST_KEY} characters, or has characters that a header cannot carry`,
    "make one with: openssl rand -hex 32",
  );
}

function checkDomain(domain: string): void {
  if (URL.canParse(`http://${domain}/`) && new URL(`http://${domain}/`).host === domain) return;
  throw invalid(
    `the media domain ${describe(domain)} is not a host name`,
    "give host names in lower case, without scheme or wildcard: images.example.com, or images.example.com:8443",
  );
}

function checkTls({ cert, key }: NonNullable<ServerOptions["tls"]>): void {
  try {
    createSecureContext({ cert: cert as string | Buffer, key: key as string | Buffer });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `the certificate and its key cannot be used (${code ?? message})`,
      { remedy: "give a certificate chain and its private key without a passphrase, both as PEM", cause },
    );
  }
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}
