/** Options of `vitgraph serve` in front of vLLM: as an encode instance, and as a gateway. */
import { createVisionModel, type EncoderEngine, readJsonObject } from "@vitgraph/core";
import type { Logger } from "@vitgraph/core/observability";
import { VitgraphError } from "@vitgraph/errors";
import type { EcStorage, ServerOptions } from "@vitgraph/server";
import { type Command, InvalidArgumentError } from "commander";
import type { CliIo } from "../cli-io.js";
import { downloadSettings } from "../download-model.js";
import { readTextInput } from "../files.js";
import { byteCount, positiveNumber, type Rgb } from "./model-options.js";

export interface VllmOptions {
  readonly vllmEncode?: true;
  readonly upstream?: string;
  readonly sharedStoragePath?: string;
  readonly sharedStorageMaxBytes?: number;
  readonly sharedStorageMaxAge?: number;
  readonly register?: string;
  readonly registerKeyFile?: string;
  readonly instanceUrl?: string;
}

/** vLLM's default of `rgba_background_color`. */
export const VLLM_BACKGROUND: Rgb = [255, 255, 255];

export function vllmBackground({ vllmEncode, upstream }: VllmOptions): Rgb | undefined {
  return vllmEncode || upstream !== undefined ? VLLM_BACKGROUND : undefined;
}

/** vLLM's proxy reads its key from the same variable. */
const KEY_VARIABLE = "ADMIN_API_KEY";

type Flags = readonly (readonly [keyof VllmOptions, string])[];

const STORAGE_FLAGS: Flags = [
  ["sharedStoragePath", "--shared-storage-path"],
  ["sharedStorageMaxBytes", "--shared-storage-max-bytes"],
  ["sharedStorageMaxAge", "--shared-storage-max-age"],
];
const REGISTER_FLAGS: Flags = [
  ["registerKeyFile", "--register-key-file"],
  ["instanceUrl", "--instance-url"],
];

export function addVllmOptions(command: Command): Command {
  return command
    .option(
      "--vllm-encode",
      "run as an encode instance behind vLLM's disaggregation proxy: /v1/chat/completions writes embeddings to --shared-storage-path",
    )
    .option(
      "--upstream <url>",
      "run as a gateway in front of this vLLM server: images are replaced by embeddings, and everything else is forwarded unchanged",
    )
    .option(
      "--shared-storage-path <dir>",
      "shared_storage_path of vLLM's ECExampleConnector (default with --upstream: embeddings are sent in the request)",
    )
    .option(
      "--shared-storage-max-bytes <bytes>",
      "remove the least recently used files above this, but none used in the last ten minutes (default: 16384M)",
      byteCount,
    )
    .option(
      "--shared-storage-max-age <seconds>",
      `remove files that were not used for this long; at least ${SHORTEST_AGE} (default: 3600)`,
      storageAge,
    )
    .option(
      "--register <url>",
      "register at the proxy at this URL, which must run with --dynamic-registration",
    )
    .option(
      "--register-key-file <file>",
      `the proxy's admin key (also: the environment variable ${KEY_VARIABLE}, as for the proxy)`,
    )
    .option(
      "--instance-url <url>",
      "this server's URL as the proxy reaches it (default: the address that it listens on)",
    );
}

/** Seconds. A request may wait this long in vLLM's queue before its file is read. */
const SHORTEST_AGE = 600;

function storageAge(text: string): number {
  const value = positiveNumber(text);
  if (value < SHORTEST_AGE) throw new InvalidArgumentError(`expected at least ${SHORTEST_AGE} seconds`);
  return value;
}

/** Ends the command with a usage error where options do not belong together. */
export function checkVllmOptions(command: Command, options: VllmOptions & { readonly llm?: string }): void {
  if (options.llm !== undefined && (options.vllmEncode || options.upstream !== undefined))
    command.error("error: --llm answers chats itself: start another server for --vllm-encode or --upstream");
  const { vllmEncode, upstream, sharedStoragePath, register } = options;
  const refuse = (flags: Flags, without: string, remedy = "add it") => {
    for (const [name, flag] of flags)
      if (options[name] !== undefined)
        command.error(`error: ${flag} has no effect without ${without}: ${remedy}`);
  };
  if (vllmEncode && upstream !== undefined)
    command.error("error: --vllm-encode and --upstream exclude each other: start two servers");
  if (vllmEncode === undefined && upstream === undefined)
    refuse(STORAGE_FLAGS, "--vllm-encode or --upstream", "add one of them");
  if (vllmEncode && sharedStoragePath === undefined)
    command.error("error: --vllm-encode needs --shared-storage-path: give vLLM's shared_storage_path");
  if (sharedStoragePath === undefined) refuse(STORAGE_FLAGS.slice(1), "--shared-storage-path");
  if (vllmEncode === undefined) refuse([["register", "--register"]], "--vllm-encode");
  if (register === undefined) refuse(REGISTER_FLAGS, "--register");
}

/**
 * Checks by config.json that vLLM takes the model's embeddings, before weights are downloaded and loaded.
 * @throws VG_MODEL_UNSUPPORTED; VG_FILE_UNREADABLE, VG_MODEL_INVALID for the config.json
 */
export async function checkVllmModel(model: string, io: CliIo): Promise<void> {
  const { checkGridModel } = await import("@vitgraph/server");
  const config = await readJsonObject(await downloadSettings(model, io), "config.json");
  checkGridModel(createVisionModel(config).modelType);
}

/** @throws VG_ARGUMENT_INVALID, VG_MODEL_UNSUPPORTED */
export async function vllmServing(
  options: VllmOptions,
  engine: EncoderEngine,
  logger: Logger,
): Promise<Pick<ServerOptions, "vllmEncode" | "gateway">> {
  const storage = await openEcStorage(options, engine, logger);
  const { upstream } = options;
  if (upstream !== undefined) return { gateway: { upstream, ...(storage === undefined ? {} : { storage }) } };
  return storage === undefined ? {} : { vllmEncode: storage };
}

async function openEcStorage(
  { sharedStoragePath, sharedStorageMaxBytes, sharedStorageMaxAge }: VllmOptions,
  engine: EncoderEngine,
  logger: Logger,
): Promise<EcStorage | undefined> {
  if (sharedStoragePath === undefined) return undefined;
  const { EcStorage } = await import("@vitgraph/server");
  return new EcStorage({
    path: sharedStoragePath,
    identity: engine.identity,
    vision: engine.model.vision,
    logger,
    ...(sharedStorageMaxBytes === undefined ? {} : { maxBytes: sharedStorageMaxBytes }),
    ...(sharedStorageMaxAge === undefined ? {} : { maxAgeMs: sharedStorageMaxAge * 1000 }),
  });
}

/** Settings for registering at the proxy, once the server listens. */
export interface Registering {
  readonly proxyUrl: string;
  readonly adminKey: string;
  /** Undefined: the address that the server listens on. */
  readonly instanceUrl: string | undefined;
}

/** @throws VG_ARGUMENT_INVALID, VG_FILE_UNREADABLE */
export async function readRegistering(
  { register, registerKeyFile, instanceUrl, host }: VllmOptions & { readonly host: string },
  io: CliIo,
): Promise<Registering | undefined> {
  if (register === undefined) return undefined;
  const adminKey =
    registerKeyFile === undefined
      ? process.env[KEY_VARIABLE]
      : (await readTextInput(registerKeyFile, io, "check --register-key-file")).trim();
  if (adminKey === undefined || !/^[\x21-\x7e]+$/.test(adminKey)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "there is no admin key for --register", {
      remedy: `give --register-key-file, or set ${KEY_VARIABLE} as for the proxy`,
    });
  }
  if (instanceUrl === undefined && EVERY_ADDRESS.includes(host)) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `--register needs the server's URL: ${host} listens on all addresses`,
      { remedy: "give the server's URL with --instance-url" },
    );
  }
  return { proxyUrl: register, adminKey, instanceUrl };
}

/** Values of --host that listen on all addresses of the machine. */
export const EVERY_ADDRESS: readonly string[] = ["0.0.0.0", "::"];

/**
 * Registers at the proxy, until the result is disposed.
 * @param url the address that the server listens on
 * @throws VG_ARGUMENT_INVALID
 */
export async function registerAtProxy(
  registering: Registering | undefined,
  url: string,
  engine: EncoderEngine,
  logger: Logger,
): Promise<AsyncDisposable | undefined> {
  if (registering === undefined) return undefined;
  const { registerInstance } = await import("@vitgraph/server");
  const { instanceUrl = url, proxyUrl, adminKey } = registering;
  return registerInstance({
    proxyUrl,
    adminKey,
    instanceUrl,
    isReady: () => engine.state === "ready",
    logger,
  });
}
