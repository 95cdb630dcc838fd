/** A model's id on the Hugging Face hub, where a directory was expected: its files in the local cache of `hf download`. */
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { VitgraphError } from "@vitgraph/errors";

/** `org/name`, in the characters that the hub allows. */
const HUB_ID = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;

/**
 * `directory`, unless there is no such directory and it has the form of a hub id: then the cached snapshot of that
 * model's main branch.
 * @throws VG_FILE_UNREADABLE for an id whose model is not in the cache
 */
export async function findCheckpoint(directory: string): Promise<string> {
  if (!HUB_ID.test(directory) || (await exists(directory))) return directory;
  const folder = join(cacheFolder(), `models--${directory.replace("/", "--")}`);
  const commit = await readFile(join(folder, "refs", "main"), "utf8").catch(() => "");
  const snapshot = join(folder, "snapshots", commit.trim());
  if (/^[0-9a-f]{40}$/.test(commit.trim()) && (await exists(snapshot))) return snapshot;
  throw new VitgraphError("VG_FILE_UNREADABLE", `there is no directory ${directory}`, {
    remedy: `if it is a model's id, download it: hf download ${directory}`,
    details: { directory, cache: folder },
  });
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** As huggingface_hub finds it. */
function cacheFolder(): string {
  const { HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  return join(home, "hub");
}
