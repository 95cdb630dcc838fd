/**
 * `--model org/name`: the files of a model on the Hugging Face hub that the tower needs, downloaded into the hub's local
 * cache, where `loadModel` finds them.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import type { ListFileEntry } from "@huggingface/hub";
import { cachedSnapshot, findCheckpoint, hubFolder, isHubId, towerFiles } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import type { CliIo } from "./cli-io.js";
import { startProgress } from "./progress.js";

const CONFIG = "config.json";
const INDEX = "model.safetensors.index.json";
/** Files that are read besides the weights. */
const SETTINGS: readonly string[] = [
  CONFIG,
  "processor_config.json",
  "preprocessor_config.json",
  "video_preprocessor_config.json",
  INDEX,
];
const WEIGHTS = /^[^/\\]{1,200}\.safetensors$/;

/** A repository at one commit. */
interface Source {
  readonly hub: typeof import("@huggingface/hub");
  readonly repo: { readonly type: "model"; readonly name: string };
  readonly revision: string;
  readonly hubUrl: string;
  readonly accessToken?: string;
}

/** All that `loadModel` reads, or without the weights. */
export type ModelParts = "tower" | "settings";

/**
 * Downloads a model's missing files, if its name is a hub id. With `HF_HUB_OFFLINE` nothing is downloaded.
 * `HF_ENDPOINT` and `HF_TOKEN` are huggingface_hub's. Interrupted downloads resume.
 * @throws VG_FILE_UNREADABLE if the hub does not give it; VG_FILE_UNWRITABLE; as `towerFiles` does
 */
export async function downloadModel(name: string, io: CliIo, parts: ModelParts = "tower"): Promise<void> {
  if (isOffline() || !(await isHubId(name))) return;
  const cached = await cachedSnapshot(name);
  if (cached !== undefined && (await isComplete(cached, parts))) return;
  try {
    await download(await openSource(name), io, parts);
  } catch (error) {
    throw VitgraphError.is(error) ? error : refused(name, error);
  }
}

/** The directory of a model's config.json and processors' files, downloaded if its name is a hub id. */
export async function downloadSettings(name: string, io: CliIo): Promise<string> {
  await downloadModel(name, io, "settings");
  return findCheckpoint(name);
}

function isOffline(): boolean {
  return /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? "");
}

async function isComplete(snapshot: string, parts: ModelParts): Promise<boolean> {
  try {
    const names = parts === "tower" ? await towerFiles(snapshot) : [CONFIG];
    await Promise.all(names.map((name) => stat(join(snapshot, name))));
    return true;
  } catch {
    // Loading reports the error.
    return false;
  }
}

async function openSource(name: string): Promise<Source> {
  const hub = await import("@huggingface/hub");
  const { HF_ENDPOINT, HF_TOKEN } = process.env;
  const hubUrl = HF_ENDPOINT || hub.HUB_URL;
  const access = { hubUrl, ...(HF_TOKEN ? { accessToken: HF_TOKEN } : {}) };
  const { sha } = await hub.modelInfo({ name, revision: "main", additionalFields: ["sha"], ...access });
  return { hub, repo: { type: "model", name }, revision: sha, ...access };
}

async function download(source: Source, io: CliIo, parts: ModelParts): Promise<void> {
  const { hub, repo, revision } = source;
  const listed = new Map<string, ListFileEntry>();
  for await (const entry of hub.listFiles(source)) listed.set(entry.path, entry);
  const snapshot = join(hubFolder(repo.name), "snapshots", revision);
  const settings = SETTINGS.filter((file) => listed.has(file));
  for (const file of settings) await fetchFile(source, listed.get(file) as ListFileEntry, snapshot);

  if (!listed.has(CONFIG)) throw lacking(repo.name, CONFIG);
  if (parts === "tower") await downloadWeights(source, listed, snapshot, io);
  // Written last, so that the branch refers to a complete commit.
  const ref = join(hubFolder(repo.name), "refs", "main");
  await mkdir(dirname(ref), { recursive: true });
  await writeFile(ref, revision);
}

async function downloadWeights(
  source: Source,
  listed: ReadonlyMap<string, ListFileEntry>,
  snapshot: string,
  io: CliIo,
): Promise<void> {
  const { name } = source.repo;
  const files = listed.has(INDEX) ? await towerFiles(snapshot) : weightsOf([...listed.keys()]);
  if (files.length === 0) throw lacking(name, "safetensors file");
  const entries = files.map((file) => {
    const entry = listed.get(file);
    if (entry === undefined) throw lacking(name, file);
    return entry;
  });
  const total = entries.reduce((sum, { size }) => sum + size, 0);
  using progress = startProgress(io, `downloading ${name} (${(total / 1e9).toFixed(2)} GB)`);
  let before = 0;
  for (const entry of entries) {
    await fetchFile(source, entry, snapshot, (done) => progress.update(before + done, total));
    before += entry.size;
  }
  progress.done();
}

function lacking(name: string, file: string): VitgraphError {
  return new VitgraphError("VG_FILE_UNREADABLE", `the hub's ${name} has no ${file}`, {
    remedy: "choose a model in transformers' layout, with safetensors weights",
  });
}

/** The weight files of a repository without an index: model.safetensors if there is one, else all. */
function weightsOf(files: readonly string[]): readonly string[] {
  const single = files.filter((file) => file === "model.safetensors");
  return single.length > 0 ? single : files.filter((file) => WEIGHTS.test(file));
}

async function fetchFile(
  { hub, ...source }: Source,
  { path, size, oid, lfs }: ListFileEntry,
  snapshot: string,
  onProgress: (doneBytes: number) => void = () => {},
): Promise<void> {
  const target = join(snapshot, path);
  if ((await sizeOf(target)) === size) return;
  await mkdir(snapshot, { recursive: true });
  const part = `${target}.${(lfs?.oid ?? oid ?? "").slice(0, 12)}.incomplete`;
  const kept = (await sizeOf(part)) ?? 0;
  const start = kept < size ? kept : 0;
  const blob = await hub.downloadFile({ ...source, path });
  if (blob === null) throw new Error(`there is no file ${path}`);
  let done = start;
  const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      done += chunk.length;
      onProgress(done);
      yield chunk;
    }
  };
  const bytes = Readable.fromWeb(blob.slice(start).stream() as ReadableStream);
  await pipeline(bytes, counted, createWriteStream(part, { flags: start === 0 ? "w" : "a" }));
  if ((await sizeOf(part)) !== size || (lfs !== undefined && (await sha256Of(part)) !== lfs.oid)) {
    await rm(part, { force: true });
    throw new VitgraphError("VG_FILE_UNREADABLE", `${path} was damaged in the download`, {
      remedy: "try again; behind a proxy, check that it does not change downloads",
    });
  }
  await rename(part, target);
}

function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ size }) => size,
    () => undefined,
  );
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

const DISK_REMEDIES: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "make room"],
  ["EDQUOT", "make room within your quota"],
  ["EACCES", "check the directory's permissions"],
  ["EPERM", "check the directory's permissions"],
  ["EROFS", "mount the file system for writing"],
  ["ENOTDIR", "remove the file in the directory's place"],
  ["EEXIST", "remove the file in the directory's place"],
  ["EISDIR", "remove the directory in the file's place"],
  ["ENAMETOOLONG", "choose a shorter path"],
]);

/** The error for a failure of the hub, the network or the disk. */
function refused(name: string, error: unknown): VitgraphError {
  const { statusCode, code, syscall, path, message, cause } = error as NodeJS.ErrnoException & {
    readonly statusCode?: number;
    readonly cause?: { readonly code?: string };
  };
  // An error of the network is the cause of fetch's.
  if (syscall !== undefined) {
    const remedy = DISK_REMEDIES.get(code ?? "") ?? "check the disk";
    return new VitgraphError("VG_FILE_UNWRITABLE", `cannot write ${path ?? hubFolder(name)} (${code})`, {
      remedy: `${remedy}, or set HF_HOME to another directory`,
      cause: error,
    });
  }
  if (statusCode === 401 || statusCode === 403 || statusCode === 404) {
    return new VitgraphError(
      "VG_FILE_UNREADABLE",
      `there is no directory ${name}, and the hub has no model of that name that you may read`,
      {
        remedy: "check the name; for a gated or private model set HF_TOKEN to a token that may read it",
        details: { statusCode },
        cause: error,
      },
    );
  }
  const reason = statusCode === undefined ? (cause?.code ?? code ?? message) : `status ${statusCode}`;
  return new VitgraphError(
    "VG_FILE_UNREADABLE",
    `there is no directory ${name}, and the hub gave no model (${reason})`,
    {
      remedy: `check the network or set HF_ENDPOINT; or download it elsewhere: hf download ${name}`,
      cause: error,
    },
  );
}
