/** Rows for vLLM's connector, as files in shared memory: written for a request, deleted when the connector releases them. */
import { randomUUID } from "node:crypto";
import { lstat, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Embedding, embeddingBytes } from "@vitgraph/core";
import { toVitgraphError, VitgraphError } from "@vitgraph/errors";

/** Most bytes of rows that connectors have not released: other programs use /dev/shm too. */
const MAX_ROWS_BYTES = 8 * 2 ** 30;
const STALE_MS = 60 * 60_000;
const ROWS_PREFIX = "vitgraph-rows-";

/** Rows that connectors have not released. */
export class ConnectorRows {
  readonly #directory: string;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** bf16 [tokens, columns]. @throws VG_QUEUE_FULL, VG_FILE_UNWRITABLE */
  async write(embedding: Embedding): Promise<string> {
    const bytes = embeddingBytes(embedding, "bf16");
    if (this.#bytes + bytes.length > MAX_ROWS_BYTES) {
      throw new VitgraphError("VG_QUEUE_FULL", `rows that were not released have ${this.#bytes} bytes`, {
        remedy: "let vLLM encode the image itself",
      });
    }
    const path = join(this.#directory, ROWS_PREFIX + randomUUID());
    this.#sizes.set(path, bytes.length);
    this.#bytes += bytes.length;
    try {
      await writeFile(path, bytes, { flag: "wx", mode: 0o600 });
      return path;
    } catch (cause) {
      await this.remove(path);
      throw toVitgraphError(
        cause,
        "VG_FILE_UNWRITABLE",
        "cannot write rows to shared memory",
        "make /dev/shm larger",
      );
    }
  }

  async remove(path: string): Promise<void> {
    const sizeBytes = this.#sizes.get(path);
    if (sizeBytes === undefined) return;
    this.#sizes.delete(path);
    this.#bytes -= sizeBytes;
    await rm(path, { force: true });
  }
}

/** Removes the rows of killed servers, which their connectors loaded long ago. */
export async function removeStaleRows(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith(ROWS_PREFIX)) continue;
    const path = join(directory, name);
    const found = await lstat(path).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS) await rm(path, { force: true });
  }
}
