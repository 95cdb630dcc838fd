/** `vitgraph encode --vllm-ec-cache`: writes an encode instance's files in advance. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Embedding } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import type { EcStorage, EcStorageOptions } from "@vitgraph/server";
import type { CliIo } from "../cli-io.js";
import { inputName, isUrl, STDIN, unwritable } from "../files.js";
import { counted, renderTable } from "../table.js";
import { isVideoFile } from "./encode-inputs.js";

/**
 * The key of each file. A URL becomes the key that vLLM's proxy gives it; anything else is a uuid.
 * @param options `vllmEcKey`: uuids or URLs, one per file; or none, for the files' own URLs
 * @throws VG_ARGUMENT_INVALID, VG_REQUEST_INVALID for a uuid that is not a safe file name
 */
export async function ecKeys(
  paths: readonly string[],
  { vllmEcKey: given, video: all }: { readonly vllmEcKey: readonly string[]; readonly video?: true },
): Promise<readonly string[]> {
  const { checkEcKey, ecKeyOfUrl } = await import("@vitgraph/server");
  const video = all === true ? paths[0] : paths.find(isVideoFile);
  if (video !== undefined) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `--vllm-ec-cache takes no video, such as ${inputName(video)}`,
      {
        remedy: "encode it with --output, or leave it out",
      },
    );
  }
  if (given.length > 0 && given.length !== paths.length) {
    throw new VitgraphError(
      "VG_ARGUMENT_INVALID",
      `--vllm-ec-key is given ${given.length} times for ${counted(paths.length, "file")}`,
      { remedy: "give one for each file, in their order, or none" },
    );
  }
  if (given.length === 0 && paths.includes(STDIN)) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "standard input has no URL", {
      remedy: "name the image with --vllm-ec-key",
    });
  }
  const urlOf = (path: string) => (isUrl(path) ? path : pathToFileURL(resolve(path)).href);
  const names = given.length > 0 ? given : paths.map(urlOf);
  return names.map((name) => {
    // The proxy hashes URLs of every scheme.
    if (/^[a-z][a-z0-9+.-]*:\/\/|^data:/i.test(name)) return ecKeyOfUrl(name);
    checkEcKey(name);
    return name;
  });
}

export interface EcFiles {
  /** Names of the images in the table. */
  readonly names: readonly string[];
  readonly keys: readonly string[];
  readonly outcomes: readonly PromiseSettledResult<Embedding>[];
}

/** @throws VG_FILE_UNWRITABLE, VG_MODEL_UNSUPPORTED */
export async function openEcCache(options: EcStorageOptions): Promise<EcStorage> {
  const { EcStorage } = await import("@vitgraph/server");
  const storage = new EcStorage(options);
  try {
    await storage.open();
  } catch (error) {
    // The server's message is for clients, and has no path.
    if (!VitgraphError.is(error) || error.code !== "VG_FILE_UNWRITABLE") throw error;
    throw unwritable(options.path, (error.cause as Error).message, undefined, error);
  }
  return storage;
}

/** Writes the successful embeddings, and prints their keys. @throws VG_FILE_UNWRITABLE */
export async function writeEcCache(
  storage: EcStorage,
  { names, keys, outcomes }: EcFiles,
  io: CliIo,
): Promise<void> {
  const rows: string[][] = [];
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status !== "fulfilled") continue;
    const key = keys[index] as string;
    await storage.store(key, outcome.value);
    rows.push([names[index] as string, key]);
  }
  io.stdout(`\n${renderTable([{ title: "image" }, { title: "vLLM's key" }], rows)}`);
  io.stdout(`\nwrote ${counted(rows.length, "file")} to ${storage.path}\n`);
}
