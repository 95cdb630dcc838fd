/**
 * The directory through which vLLM's `ECExampleConnector` passes embeddings: `<path>/<key>/encoder_cache.safetensors`
 * with one tensor `ec_cache`, bf16 [tokens, columns].
 *
 * A consumer reads any file that exists, so each is completed under a temporary name first. The first writer of a key
 * wins: every answer's grid is that of the file, even if a client reuses its uuid for another image. Several servers may
 * share the directory.
 */
import { createHash, randomUUID } from "node:crypto";
import { lstatSync, unlinkSync } from "node:fs";
import { link, lstat, mkdir, open, opendir, rename, rm, rmdir, utimes, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  type Embedding,
  embeddingBytes,
  embeddingColumns,
  encodeSafetensors,
  type Grid,
  SafetensorsFile,
  type VisionModel,
} from "@vitgraph/core";
import type { Logger } from "@vitgraph/core/observability";
import { checkOptions, describe, shorten, VitgraphError } from "@vitgraph/errors";
import { checkGridModel } from "./grid-models.js";

/** The directory that is shared with vLLM, and its limits. */
export interface EcStorageOptions {
  /** `shared_storage_path` of vLLM's `ec_connector_extra_config`. Created if it does not exist. */
  readonly path: string;
  /** The engine's `identity`: a file of another model or of other settings is replaced. */
  readonly identity: string;
  /** The `vision` of the engine's model. */
  readonly vision: Pick<VisionModel, "modelType" | "outputColumns">;
  /** Bytes above which the files that were used least recently are removed. Default: 16 GiB. */
  readonly maxBytes?: number;
  /** Milliseconds after its last use before a file is removed; at least 600 000. Default: one hour. */
  readonly maxAgeMs?: number;
  readonly logger?: Logger;
}

const OPTIONS = {
  path: true,
  identity: true,
  vision: true,
  maxBytes: true,
  maxAgeMs: true,
  logger: true,
} satisfies Record<keyof EcStorageOptions, true>;

/**
 * A file that was used within this time is never removed. vLLM looks for a file when it schedules a request and reads it
 * when it runs it; if the file vanishes in between, vLLM's engine ends. A request may wait this long in vLLM's queue.
 */
export const YOUNG_MS = 10 * 60_000;
/** Above this size the least recently used files are removed: 16 GiB. */
export const DEFAULT_MAX_BYTES = 16 * 2 ** 30;
/** Files unused for this long are removed: one hour. */
const DEFAULT_MAX_AGE_MS = 60 * 60_000;

/** Names that vLLM's `ECExampleConnector` expects. */
const FILE = "encoder_cache.safetensors";
const TENSOR = "ec_cache";

/** A client may choose its image's key, which becomes the name of a folder. */
const SAFE_KEY = /^[A-Za-z0-9_][A-Za-z0-9_.:@=+-]{0,199}$/;

export function isEcKey(key: string): boolean {
  return SAFE_KEY.test(key);
}

/**
 * Checks that a client's key can be the name of a folder.
 *
 * @throws VG_REQUEST_INVALID for a key that is not a safe file name
 */
export function checkEcKey(key: string): void {
  if (isEcKey(key)) return;
  throw new VitgraphError(
    "VG_REQUEST_INVALID",
    `the uuid ${describe(shorten(key))} is not a safe file name`,
    {
      remedy: "use 1 to 200 letters, digits and _ . : @ = + -, with a letter, a digit or _ first",
    },
  );
}

/** The key that vLLM's proxy gives an image without a uuid. */
export function ecKeyOfUrl(url: string): string {
  return createHash("sha256").update(url).digest("hex");
}

/** An embedding in the storage. */
export interface EcEntry {
  readonly grid: Grid;
  readonly tokens: number;
}

interface StoredFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedMs: number;
}

/** The directory of an encode instance: writes embeddings for vLLM's `ECExampleConnector`, and removes old ones. */
export class EcStorage {
  readonly path: string;
  readonly #identity: string;
  readonly #columns: number;
  readonly #maxBytes: number;
  readonly #maxAgeMs: number;
  readonly #logger: Logger | undefined;

  /** @throws VG_ARGUMENT_INVALID, VG_MODEL_UNSUPPORTED */
  constructor(options: EcStorageOptions) {
    checkOptions("EcStorage", options, Object.keys(OPTIONS));
    const { path, identity, vision, maxBytes = DEFAULT_MAX_BYTES, maxAgeMs = DEFAULT_MAX_AGE_MS } = options;
    checkGridModel(vision.modelType);
    if (!(Number.isSafeInteger(maxBytes) && maxBytes > 0))
      throw invalid(`maxBytes is ${describe(maxBytes)}`, "give a positive whole number");
    if (!(maxAgeMs >= YOUNG_MS))
      throw invalid(
        `maxAgeMs is ${describe(maxAgeMs)}`,
        `give at least ${YOUNG_MS}: vLLM may still wait to read a younger file`,
      );
    this.path = resolve(path);
    this.#identity = identity;
    this.#columns = embeddingColumns(vision);
    this.#maxBytes = maxBytes;
    this.#maxAgeMs = maxAgeMs;
    this.#logger = options.logger;
  }

  /** Makes the directory and writes a file to it. @throws VG_FILE_UNWRITABLE */
  async open(): Promise<void> {
    const probe = join(this.path, `.vitgraph-${randomUUID()}`);
    try {
      await mkdir(this.path, { recursive: true });
      await (await open(probe, "wx")).close();
      await rm(probe);
    } catch (cause) {
      throw unwritable(cause);
    }
  }

  /**
   * The key's entry, if the directory has it. This counts as a use of the file.
   * @throws VG_REQUEST_INVALID
   */
  async find(key: string): Promise<EcEntry | undefined> {
    checkEcKey(key);
    const path = join(this.path, key, FILE);
    try {
      const entry = await this.#read(path);
      const now = new Date();
      if (entry !== undefined) await utimes(path, now, now);
      return entry;
    } catch {
      // The file is absent, unreadable, or was removed meanwhile. `store` throws if it cannot be replaced.
      return undefined;
    }
  }

  /**
   * Writes an embedding, unless the key has one.
   * @returns the key's entry: another writer's, if that was first
   * @throws VG_REQUEST_INVALID, VG_FILE_UNWRITABLE
   */
  async store(key: string, embedding: Embedding): Promise<EcEntry> {
    checkEcKey(key);
    const { grid, tokens } = embedding;
    const content = encodeEcFile(embedding, this.#identity);
    for (let attempt = 0; ; attempt++) {
      try {
        return (await this.#write(key, content)) ?? { grid, tokens };
      } catch (cause) {
        // Another server's eviction removes empty folders.
        if (!isGone(cause) || attempt === MAX_ATTEMPTS) throw unwritable(cause);
      }
    }
  }

  /** @returns another writer's entry, if that was first */
  async #write(key: string, content: Uint8Array): Promise<EcEntry | undefined> {
    const path = join(this.path, key, FILE);
    const temporary = `${path}.${randomUUID()}.tmp`;
    await mkdir(join(this.path, key), { recursive: true });
    try {
      // Flushed, or a machine that stops could leave an empty file under the final name.
      await writeFile(temporary, content, { flag: "wx", flush: true });
      try {
        // Unlike rename, this fails if the name exists.
        await link(temporary, path);
        return undefined;
      } catch {
        const first = await this.find(key);
        // The file is broken or of another model, or the file system has no hard links.
        if (first === undefined) await rename(temporary, path);
        return first;
      }
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** Undefined for a file that is broken, not vitgraph's, or of another model. */
  async #read(path: string): Promise<EcEntry | undefined> {
    await using file = await SafetensorsFile.open(path);
    const { identity, grid_thw: text = "" } = file.metadata;
    const tensor = file.tensors.get(TENSOR);
    const [t, h, w] = /^\[(\d+),(\d+),(\d+)\]$/.exec(text)?.slice(1).map(Number) ?? [];
    const [tokens, columns] = tensor?.shape ?? [];
    if (identity !== this.#identity || tensor?.dtype !== "BF16" || columns !== this.#columns)
      return undefined;
    if (t === undefined || h === undefined || w === undefined || tokens === undefined) return undefined;
    return { grid: { t, h, w }, tokens };
  }

  /**
   * Removes files unused for longer than `maxAgeMs`, then the least recently used ones above `maxBytes`, and temporary
   * files of interrupted writers; never one that was used in the last ten minutes. Other files of the directory are kept.
   * @param nowMs in milliseconds since 1970
   */
  async evict(nowMs = Date.now()): Promise<void> {
    const files: StoredFile[] = [];
    try {
      for await (const entry of await opendir(this.path)) {
        // Links are skipped: their targets may belong to others.
        if (entry.isDirectory() && SAFE_KEY.test(entry.name))
          files.push(...(await scanFolder(join(this.path, entry.name), nowMs)));
      }
    } catch (err) {
      this.#logger?.error({ err, path: this.path }, "the shared storage cannot be cleaned up");
      return;
    }
    files.sort((a, b) => a.usedMs - b.usedMs);
    let bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    for (const file of files) {
      const ageMs = nowMs - file.usedMs;
      if (ageMs < YOUNG_MS || (ageMs <= this.#maxAgeMs && bytes <= this.#maxBytes)) break;
      if (removeUnused(file)) bytes -= file.sizeBytes;
      await setImmediate();
    }
    if (bytes > this.#maxBytes)
      this.#logger?.warn(
        { bytes, maxBytes: this.#maxBytes },
        "the shared storage is above its limit, and its files are too young to be removed",
      );
  }
}

/** Evictions that may come between making a folder and writing to it. */
const MAX_ATTEMPTS = 3;

/** The folder's file. Removes old temporary files, and the folder if it is old and empty. */
async function scanFolder(folder: string, nowMs: number): Promise<readonly StoredFile[]> {
  const files: StoredFile[] = [];
  try {
    const { mtimeMs: changedMs } = await lstat(folder);
    for await (const { name } of await opendir(folder)) {
      const isTemporary = name.startsWith(`${FILE}.`) && name.endsWith(".tmp");
      if (name !== FILE && !isTemporary) continue;
      const path = join(folder, name);
      const { size, mtimeMs } = await lstat(path);
      if (!isTemporary) files.push({ path, sizeBytes: size, usedMs: mtimeMs });
      else if (nowMs - mtimeMs >= YOUNG_MS) await rm(path, { force: true });
    }
    // vLLM makes a folder for each key that it looks for.
    if (files.length === 0 && nowMs - changedMs >= YOUNG_MS) await rmdir(folder);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    // Another server cleans up too; a folder may be another user's.
    if (!["ENOENT", "ENOTEMPTY", "EACCES", "EPERM"].includes(code)) throw error;
  }
  return files;
}

/** Removes a file unless it was used meanwhile. Synchronous, so that no request uses it between check and removal. */
function removeUnused({ path, usedMs }: StoredFile): boolean {
  try {
    if (lstatSync(path).mtimeMs !== usedMs) return false;
    unlinkSync(path);
    return true;
  } catch {
    return false;
  }
}

/** vLLM expects bf16, the dtype of its language model. */
function encodeEcFile(embedding: Embedding, identity: string): Uint8Array {
  const { tokens, columns, grid } = embedding;
  const bytes = embeddingBytes(embedding, "bf16");
  const tensor = { name: TENSOR, dtype: "BF16", shape: [tokens, columns], bytes } as const;
  return encodeSafetensors([tensor], { grid_thw: JSON.stringify([grid.t, grid.h, grid.w]), identity });
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function invalid(fact: string, remedy: string): VitgraphError {
  return new VitgraphError("VG_ARGUMENT_INVALID", fact, { remedy });
}

/** The file system's message names paths, which clients must not see: it goes to the log, as the cause. */
function unwritable(cause: unknown): VitgraphError {
  const { code = "unknown error" } = cause as NodeJS.ErrnoException;
  return new VitgraphError("VG_FILE_UNWRITABLE", `cannot write to the shared storage (${code})`, {
    remedy: "check the directory's permissions and the space on its disk",
    cause,
  });
}
