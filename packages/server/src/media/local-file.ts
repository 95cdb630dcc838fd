/**
 * Reads an image below one directory of the server.
 *
 * The file is opened first, and then the path of its descriptor is checked: a link that changes between a check and an
 * open has no effect. Only regular files are read; opening does not wait for a FIFO's writer.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readlink, realpath } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { VitgraphError } from "@vitgraph/errors";
import { tooLarge } from "./fetch-url.js";

export interface LocalFileOptions {
  /** The directory, as the operator gave it; undefined allows no path. */
  readonly root: string | undefined;
  readonly maxBytes: number;
  /** Called with the file's size before it is read. May throw. */
  readonly onBytes: (bytes: number) => void;
}

/**
 * @param path absolute, relative to the root, or a file:// URL
 * @throws VG_MEDIA_REFUSED, VG_MEDIA_UNAVAILABLE, VG_IMAGE_TOO_LARGE; what `onBytes` throws
 */
export async function readLocalFile(path: string, options: LocalFileOptions): Promise<Uint8Array> {
  const { root, maxBytes, onBytes } = options;
  if (root === undefined) {
    throw new VitgraphError("VG_MEDIA_REFUSED", "paths of images are not allowed", {
      remedy: "send a data URL, or set allowedLocalMediaPath of the server",
    });
  }
  const wanted = resolve(root, toPath(path));
  // Checked before the file system is read, so that the error does not tell which files exist elsewhere.
  if (!isBelow(resolve(root), wanted)) throw outside();
  const file = await openFile(wanted);
  try {
    // Linux names an open file's real path, with every link resolved.
    const [real, realRoot] = await Promise.all([readlink(`/proc/self/fd/${file.fd}`), realpath(root)]);
    if (!isBelow(realRoot, real)) throw outside();
    const stats = await file.stat();
    if (!stats.isFile()) throw unavailable("it is not a regular file");
    if (stats.size > maxBytes) throw tooLarge(maxBytes);
    onBytes(stats.size);
    return await readFully(file, stats.size);
  } catch (cause) {
    if (VitgraphError.is(cause)) throw cause;
    throw unavailable((cause as NodeJS.ErrnoException).code ?? "it cannot be read");
  } finally {
    await file.close();
  }
}

function toPath(text: string): string {
  try {
    return /^file:/i.test(text) ? fileURLToPath(text) : text;
  } catch {
    throw new VitgraphError("VG_MEDIA_REFUSED", "the file:// URL is not valid", {
      remedy: "use file:///absolute/path",
    });
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    throw unavailable((cause as NodeJS.ErrnoException).code ?? "it cannot be opened");
  }
}

/** At most the bytes that were counted: a file may grow while it is read. */
async function readFully(file: FileHandle, size: number): Promise<Uint8Array> {
  const bytes = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await file.read(bytes, at, size - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function outside(): VitgraphError {
  return new VitgraphError("VG_MEDIA_REFUSED", "the path lies outside the directory of images", {
    remedy: "use a path below allowedLocalMediaPath of the server",
  });
}

function unavailable(reason: string): VitgraphError {
  return new VitgraphError("VG_MEDIA_UNAVAILABLE", `the file of an image cannot be read (${reason})`, {
    remedy: "check the path and its permissions",
  });
}
