/** Resolves a model's id on the Hugging Face hub to its files in the hub's local cache. */
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { VitgraphError } from "@vitgraph/errors";

/** `org/name`, in the characters that the hub allows. */
const HUB_ID = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;

/** Whether a checkpoint's name has the form of a hub id and is not an existing path. */
export async function isHubId(name: string): Promise<boolean> {
  return HUB_ID.test(name) && !(await exists(name));
}

/**
 * `directory`, or for a hub id the cached snapshot of that model's main branch.
 * @throws VG_FILE_UNREADABLE for an id whose model is not in the cache
 */
export async function findCheckpoint(directory: string): Promise<string> {
  if (!(await isHubId(directory))) return directory;
  const snapshot = await cachedSnapshot(directory);
  if (snapshot !== undefined) return snapshot;
  throw new VitgraphError("VG_FILE_UNREADABLE", `there is no directory ${directory}`, {
    remedy: `if it is a model's id, download it: hf download ${directory}`,
    details: { directory, cache: hubFolder(directory) },
  });
}

/** The directory of a model's main branch in the cache, possibly incomplete; undefined if there is none. */
export async function cachedSnapshot(id: string): Promise<string | undefined> {
  const commit = await readFile(join(hubFolder(id), "refs", "main"), "utf8").catch(() => "");
  if (!/^[0-9a-f]{40}$/.test(commit.trim())) return undefined;
  const snapshot = join(hubFolder(id), "snapshots", commit.trim());
  return (await exists(snapshot)) ? snapshot : undefined;
}

/** A model's folder in the cache: `refs/` has the commits of branches, `snapshots/` the files of each commit. */
export function hubFolder(id: string): string {
  return join(cacheFolder(), `models--${id.replace("/", "--")}`);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The cache directory, by the environment variables that huggingface_hub reads. */
function cacheFolder(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  return join(home, "hub");
}
