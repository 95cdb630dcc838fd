/** The directory of measurements of this machine, so that the next start need not repeat them. */
import { homedir } from "node:os";
import { join } from "node:path";

/** `vitgraph` in the user's cache directory, XDG_CACHE_HOME or `~/.cache`. It need not exist. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "vitgraph");
}
