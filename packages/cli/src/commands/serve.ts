/** `vitgraph serve`: an engine behind HTTP, until a signal drains it. */
import { createServer as createTcpServer } from "node:net";
import type { ServeArguments } from "@vitgraph/config";
import { DEFAULT_MAX_BATCH_TOKENS, EncoderEngine, loadModel } from "@vitgraph/core";
import { createLogger, EngineLog, EngineMetrics, type LogLevel } from "@vitgraph/core/observability";
import { VitgraphError } from "@vitgraph/errors";
import type { LlamaEngine } from "@vitgraph/llama-cpp";
import type { ServerLimits } from "@vitgraph/server";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type CliIo, printNote } from "../cli-io.js";
import { downloadModel } from "../download-model.js";
import { checkLlm, readInput, readTextInput } from "../files.js";
import { addHelpNotes } from "../help-notes.js";
import { startProgress } from "../progress.js";
import { mmProcessorKwargs } from "../serve-options.js";
import { loadedModelFacts } from "./config-facts.js";
import {
  addModelOptions,
  append,
  byteCount,
  compilationConfigOf,
  jsonObject,
  type ModelOptions,
  openDevice,
  positiveInteger,
  positiveNumber,
  type Rgb,
  rgbColor,
  wholeNumber,
} from "./model-options.js";
import {
  addVllmOptions,
  checkVllmModel,
  checkVllmOptions,
  EVERY_ADDRESS,
  readRegistering,
  registerAtProxy,
  type VllmOptions,
  vllmBackground,
  vllmServing,
} from "./vllm-options.js";

interface ServeOptions extends ModelOptions, VllmOptions {
  readonly host: string;
  readonly port: number;
  readonly servedModelName?: string;
  readonly apiKey: readonly string[];
  readonly apiKeyFile?: string;
  readonly allowedMediaDomains?: readonly string[];
  readonly allowedLocalMediaPath?: string;
  readonly sslCertfile?: string;
  readonly sslKeyfile?: string;
  readonly maxItems?: number;
  readonly maxPixels?: number;
  readonly maxImageBytes?: number;
  readonly maxBodyBytes?: number;
  readonly maxResponseBytes?: number;
  readonly maxRequestMemory?: number;
  readonly encodeTimeout?: number;
  readonly llm?: string;
  readonly servedLlmName?: string;
  readonly contextSize?: number;
  readonly parallel?: number;
  readonly gpuLayers?: number;
  readonly chatTimeout?: number;
  readonly drainDelay: number;
  readonly outputCacheBytes?: number;
  readonly rgbaBackgroundColor?: Rgb;
  readonly connectorSocket?: string;
  readonly logLevel: LogLevel;
}

const API_KEY_VARIABLE = "VITGRAPH_API_KEY";
/** The engine's own default is 0, since hosts cache; nothing in front of the server does. */
const DEFAULT_OUTPUT_CACHE_BYTES = 2 ** 30;
const LOOPBACK: readonly string[] = ["127.0.0.1", "::1", "localhost"];

export function registerServe(program: Command, io: CliIo, serving: ServeArguments): void {
  const command = program.command("serve");
  addModelOptions(command)
    .description(
      "serve OpenAI's API: /v1/embeddings of images, with --llm also /v1/chat/completions; and health, metrics, and a live page at /",
    )
    .option("--host <address>", "address to listen on; 0.0.0.0 for all addresses", "127.0.0.1")
    .option("--port <number>", "port to listen on; 0 for a free one", portNumber, 8000)
    .option("--served-model-name <name>", "the model's name in the API (default: the value of --model)")
    .addOption(
      new Option(
        "--api-key <key>",
        "API key; may be repeated. Other users of the machine can read it: prefer --api-key-file",
      )
        .argParser(append)
        .default([], "none"),
    )
    .option(
      "--api-key-file <file>",
      `API keys, one per line (also: one key in the environment variable ${API_KEY_VARIABLE})`,
    )
    .option(
      "--allowed-media-domains <host...>",
      "hosts from which images are fetched over http(s), host:port for other ports than 80 and 443; redirects may only lead to these hosts (default: none)",
    )
    .option(
      "--allowed-local-media-path <dir>",
      "directory of images that a request may name by path (default: none)",
    )
    .option("--ssl-certfile <file>", "certificate chain, PEM: serves HTTPS")
    .option("--ssl-keyfile <file>", "the certificate's private key, PEM")
    .option(
      "--llm <file.gguf>",
      "language model for /v1/chat/completions, from the checkpoint of --model: see vitgraph gguf. Needs llama.cpp: see vitgraph chat --help",
    )
    .option(
      "--served-llm-name <name>",
      "the language model's name in the API (default: the file's, without .gguf)",
    )
    .option("--context-size <count>", "tokens of a chat, prompt and answer (default: 4096)", positiveInteger)
    .option(
      "--parallel <count>",
      "chats that run at a time; each has memory for --context-size tokens (default: 4)",
      positiveInteger,
    )
    .option("--gpu-layers <count>", "layers of the language model on a GPU (default: all)", wholeNumber)
    .option(
      "--chat-timeout <seconds>",
      "time for a chat answer: images, waiting and generation (default: 600)",
      positiveSeconds,
    )
    .option("--max-items <count>", "images and videos of one request (default: 64)", positiveInteger)
    .option(
      "--max-pixels <count>",
      "refuse images with more pixels than this (default: 178956970)",
      positiveInteger,
    )
    .option("--max-image-bytes <bytes>", "bytes of one image or video (default: 20M)", byteCount)
    .option("--max-body-bytes <bytes>", "bytes of one request's body (default: 64M)", byteCount)
    .option(
      "--max-response-bytes <bytes>",
      "bytes of one request's embeddings, as f32 (default: 256M)",
      byteCount,
    )
    .option(
      "--max-request-memory <bytes>",
      "bytes that all requests hold: bodies (three times until they are parsed), images, embeddings, answers (default: 2048M)",
      byteCount,
    )
    .option(
      "--encode-timeout <seconds>",
      "time to fetch and encode a request's images (default: 60)",
      positiveSeconds,
    )
    .option(
      "--drain-delay <seconds>",
      "after SIGTERM, time between /health turning 503 and closing the port, in which a load balancer takes the server out",
      seconds,
      0,
    )
    .option(
      "--output-cache-bytes <bytes>",
      "host memory for the cache of embeddings; 0 for none (default: 1024M)",
      bytesOrNone,
    )
    .option(
      "--mm-processor-kwargs <json>",
      'settings of the image processor, as for vLLM: \'{"min_pixels": 65536, "max_pixels": 1003520}\'',
      jsonObject,
    )
    .option(
      "--rgba-background-color <color>",
      "colour behind transparent pixels: '#ffffff' or '255,255,255' (default: alpha is dropped; with --vllm-encode or --upstream white, as in vLLM)",
      rgbColor,
    )
    .addOption(
      new Option("--log-level <level>", "lines of JSON on standard error")
        .choices(["debug", "info", "warn", "error", "silent"])
        .default("info"),
    )
    .action((options: ServeOptions) => {
      if ((options.sslCertfile === undefined) !== (options.sslKeyfile === undefined))
        command.error("error: --ssl-certfile and --ssl-keyfile belong together: give both");
      checkVllmOptions(command, options);
      for (const [name, flag] of CHAT_OPTIONS) {
        if (options.llm === undefined && options[name] !== undefined)
          command.error(`error: ${flag} is for chat: add --llm FILE.gguf`);
      }
      const kwargs = mmProcessorKwargs(serving, options.mmProcessorKwargs);
      return serve({ ...options, mmProcessorKwargs: kwargs }, io, serving);
    });
  addHelpNotes(command, SIGNALS_HELP);
  addVllmOptions(command);
  command.option(
    "--connector-socket <path>",
    "answer vLLM's VitgraphECConnector (pip package vitgraph-vllm) on this Unix socket",
  );
}

/** Options that have no effect without --llm. */
const CHAT_OPTIONS = [
  ["servedLlmName", "--served-llm-name"],
  ["contextSize", "--context-size"],
  ["parallel", "--parallel"],
  ["gpuLayers", "--gpu-layers"],
  ["chatTimeout", "--chat-timeout"],
] as const;

const SIGNALS_HELP =
  "SIGTERM or Ctrl-C drains the server: /health turns 503, running requests are answered, and the exit code is 0. A second signal ends it at once.";

async function serve(options: ServeOptions, io: CliIo, serving: ServeArguments): Promise<void> {
  // Imported here: the other commands start a tenth of a second sooner without it.
  const { checkInstanceRegistration, checkServerOptions, createServer, openConnectorSocket, RecentTraffic } =
    await import("@vitgraph/server");
  const compilationConfig = compilationConfigOf(serving, io);
  const { host, port, mmProcessorKwargs: kwargs = {} } = options;
  const apiKeys = await readApiKeys(options, io);
  const tls = await readTls(options, io);
  const registering = await readRegistering(options, io);
  const logger = await createLogger({ level: options.logLevel, destination: { write: io.stderr } });
  const metrics = await EngineMetrics.create();
  const access = {
    apiKeys,
    limits: serverLimits(options),
    drainDelayMs: options.drainDelay * 1000,
    ...given("allowedMediaDomains", options.allowedMediaDomains),
    ...given("tls", tls),
  };
  const { upstream } = options;
  // Checked before the model is loaded, which can take minutes.
  checkServerOptions({ ...access, ...given("gateway", upstream === undefined ? undefined : { upstream }) });
  checkInstanceRegistration({
    ...given("proxyUrl", registering?.proxyUrl),
    ...given("instanceUrl", registering?.instanceUrl),
  });
  await checkAddress(host, port);
  if (options.llm !== undefined) await checkLlm(options.llm);
  if (options.vllmEncode || upstream !== undefined) await checkVllmModel(options.model, io);
  await downloadModel(options.model, io);
  const traffic = new RecentTraffic();
  await using model = await loadModel(options.model, { mmProcessorKwargs: kwargs });
  for (const note of model.notes) printNote(io, note);
  using loading = startProgress(io, `loading ${options.model}`);
  await using engine = await EncoderEngine.create({
    model,
    devices: [() => openDevice(options)],
    compilationConfig,
    observers: [
      metrics,
      traffic,
      new EngineLog({ logger, verbose: compilationConfig.encoder_cudagraph_verbose }),
    ],
    onProgress: loading.update,
    ...given("maxBatchTokens", options.maxBatchTokens),
    ...given("background", options.rgbaBackgroundColor ?? vllmBackground(options)),
    outputCacheBytes: options.outputCacheBytes ?? DEFAULT_OUTPUT_CACHE_BYTES,
    ...given("limits", options.maxPixels === undefined ? undefined : { maxPixels: options.maxPixels }),
  });
  loading.done();
  await using chat = await openChat(options, engine, io);
  const server = await createServer({
    engine,
    ...given("chat", chat),
    ...given("chatModelName", options.servedLlmName),
    metrics,
    page: {
      traffic,
      compilationConfig: { ...compilationConfig },
      lintFacts: loadedModelFacts(model, options.maxBatchTokens ?? DEFAULT_MAX_BATCH_TOKENS),
    },
    logger,
    ...access,
    ...given("modelName", options.servedModelName),
    ...given("allowedLocalMediaPath", options.allowedLocalMediaPath),
    ...(await vllmServing(options, engine, logger)),
  });
  if (apiKeys.length === 0 && !LOOPBACK.includes(host))
    printNote(io, `everyone who reaches ${host} can use the server: set keys with --api-key-file`);
  if (apiKeys.length > 0 && options.vllmEncode) printNote(io, "vLLM's proxy sends no API key: it is refused");
  await using _connectors =
    options.connectorSocket === undefined
      ? undefined
      : await openConnectorSocket({ path: options.connectorSocket, engine, logger });
  const { promise: stopped, stop } = stopSignal();
  using _ = io.onInterrupt(stop);
  try {
    const url = await listen(server, host, port);
    // Fastify names one address for all.
    const others = EVERY_ADDRESS.includes(host) ? ", and on every other address of this machine" : "";
    io.stdout(`listening on ${url}${others}\n`);
    // Disposed first: the server unregisters at the proxy before it drains.
    await using _registration = await registerAtProxy(registering, url, engine, logger);
    await stopped;
    io.stderr("draining: a second signal ends the server at once\n");
  } finally {
    await server.close();
  }
}

/** The chat engine on the same encoder as the embeddings. */
async function openChat(
  { llm, model, contextSize, parallel, gpuLayers }: ServeOptions,
  engine: EncoderEngine,
  io: CliIo,
): Promise<LlamaEngine | undefined> {
  if (llm === undefined) return undefined;
  // Imported here, so that a server without chat does not load llama.cpp's binding.
  const { createLlamaEngine } = await import("@vitgraph/llama-cpp");
  using loading = startProgress(io, `loading ${llm}`);
  const chat = await createLlamaEngine({
    model: llm,
    visionModel: model,
    encoder: { engine, logger: QUIET },
    ...given("contextSize", contextSize),
    ...given("parallel", parallel),
    ...given("gpuLayers", gpuLayers),
  });
  loading.done();
  return chat;
}

/** The engine has a log already. */
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

/** @throws VG_ARGUMENT_INVALID if the port is in use */
async function checkAddress(host: string, port: number): Promise<void> {
  const probe = createTcpServer();
  const bound = (address: { host: string; port: number }) =>
    new Promise<string>((resolve, reject) => {
      probe.once("error", reject).listen(address, () => resolve(""));
    });
  await listen({ listen: bound }, host, port);
  await new Promise((resolve) => probe.close(resolve));
}

/** @returns the server's URL @throws VG_ARGUMENT_INVALID if the server cannot listen on the address */
async function listen(
  server: { listen(address: { host: string; port: number }): Promise<string> },
  host: string,
  port: number,
): Promise<string> {
  try {
    return await server.listen({ host, port });
  } catch (cause) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `cannot listen on ${host}, port ${port} (${(cause as NodeJS.ErrnoException).code})`,
      { remedy: "choose another --host or --port", cause },
    );
  }
}

async function readApiKeys({ apiKey, apiKeyFile }: ServeOptions, io: CliIo): Promise<readonly string[]> {
  const fromEnvironment = process.env[API_KEY_VARIABLE];
  const text = apiKeyFile === undefined ? "" : await readTextInput(apiKeyFile, io, "check --api-key-file");
  const fromFile = text.split("\n").flatMap((line) => line.trim() || []);
  // An empty key file would leave a server open that was meant to be protected.
  if (apiKeyFile !== undefined && fromFile.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "the file of --api-key-file has no key", {
      remedy: "write one key per line",
    });
  }
  return [...apiKey, ...fromFile, ...(fromEnvironment === undefined ? [] : [fromEnvironment])];
}

async function readTls(
  { sslCertfile, sslKeyfile }: ServeOptions,
  io: CliIo,
): Promise<{ readonly cert: Uint8Array; readonly key: Uint8Array } | undefined> {
  if (sslCertfile === undefined || sslKeyfile === undefined) return undefined;
  return {
    cert: Buffer.from(await readInput(sslCertfile, io, "check --ssl-certfile")),
    key: Buffer.from(await readInput(sslKeyfile, io, "check --ssl-keyfile")),
  };
}

function serverLimits(options: ServeOptions): ServerLimits {
  return {
    ...given("maxItems", options.maxItems),
    ...given("maxImageBytes", options.maxImageBytes),
    ...given("maxBodyBytes", options.maxBodyBytes),
    ...given("maxResponseBytes", options.maxResponseBytes),
    ...given("maxRequestMemoryBytes", options.maxRequestMemory),
    ...given("encodeMs", milliseconds(options.encodeTimeout)),
    ...given("chatMs", milliseconds(options.chatTimeout)),
  };
}

function milliseconds(time: number | undefined): number | undefined {
  return time === undefined ? undefined : Math.ceil(time * 1000);
}

/** An option that was given, as a member to spread. */
function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [Key in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [Key in Name]?: Value });
}

function stopSignal(): { readonly promise: Promise<void>; readonly stop: () => void } {
  let stop = () => {};
  const promise = new Promise<void>((resolve) => {
    stop = resolve;
  });
  return { promise, stop };
}

function portNumber(text: string): number {
  const port = wholeNumber(text);
  if (port > 65_535) throw new InvalidArgumentError("expected a port, from 0 to 65535");
  return port;
}

/** A week: the most that the server takes. */
const MAX_SECONDS = 604_800;

function positiveSeconds(text: string): number {
  const value = positiveNumber(text);
  if (value > MAX_SECONDS) throw new InvalidArgumentError(`expected at most ${MAX_SECONDS} seconds, a week`);
  return value;
}

function seconds(text: string): number {
  return text === "0" ? 0 : positiveSeconds(text);
}

function bytesOrNone(text: string): number {
  return text === "0" ? 0 : byteCount(text);
}
