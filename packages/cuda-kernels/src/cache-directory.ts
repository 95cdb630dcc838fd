/** Where vitgraph keeps what it measured of a machine, so that the next start need not measure it again. */
import { homedir } from "node:os";
import { join } from "node:path";

/** `vitgraph` in the user's cache directory: the one that XDG_CACHE_HOME names, else `~/.cache`. It need not exist. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "vitgraph");
}
