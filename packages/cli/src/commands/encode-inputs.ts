/**
 * The inputs of `vitgraph encode`: files, globs, the images and videos in a directory, URLs, or standard input; and the
 * tensors' names.
 */
import { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { readDataUrl } from "@vitgraph/core";
import { VitgraphError } from "@vitgraph/errors";
import { type CliIo, printNote } from "../cli-io.js";
import { expandGlobs, inputName, isUrl, readInput, STDIN, unreadable } from "../files.js";

/** Files of a directory with other endings are skipped. A file named explicitly may have any. */
const IMAGE_ENDINGS = /\.(jpe?g|png|webp|gif)$/i;
const VIDEO_ENDINGS = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|flv|ogv|wmv)$/i;

/** A file is a video by its ending: ffmpeg's formats have no signature in common. */
export function isVideoFile(path: string): boolean {
  if (isDataUrl(path)) return /^data:video\//i.test(path);
  return VIDEO_ENDINGS.test(fileName(path));
}

function isDataUrl(path: string): boolean {
  return /^data:/i.test(path);
}

/** The name of a file, URL or standard input, without directories. */
function fileName(path: string): string {
  if (path === STDIN) return "stdin";
  if (!isUrl(path)) return basename(path);
  if (!URL.canParse(path) || isDataUrl(path)) return "data";
  const { pathname, hostname } = new URL(path);
  return basename(pathname) || hostname;
}

/**
 * Replaces each glob by the files that match it, and each directory by the images and videos in it, sorted by name;
 * subdirectories are not searched.
 * @throws VG_ARGUMENT_INVALID for a directory without images, and for standard input named twice; VG_FILE_UNREADABLE for a
 *   glob that matches nothing, a directory that cannot be read, and where no path exists
 */
export async function expandInputs(paths: readonly string[], io: CliIo): Promise<readonly string[]> {
  if (paths.filter((path) => path === STDIN).length > 1) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "standard input is named twice", {
      remedy: "give - once: standard input is one image",
    });
  }
  const expanded: string[] = [];
  const missing: VitgraphError[] = [];
  for (const path of await expandGlobs(paths)) {
    const isFile = path !== STDIN && !isUrl(path);
    const found = isFile ? await stat(path).catch((cause: unknown) => cause as Error) : undefined;
    if (found instanceof Error) missing.push(unreadable(path, found, pathRemedy(path)));
    if (found instanceof Stats && found.isDirectory()) expanded.push(...(await imagesIn(path, io)));
    else expanded.push(path);
  }
  // A missing file among others fails alone, later. If all are missing, the error comes before the model is loaded.
  if (missing.length === expanded.length && missing[0] !== undefined) throw missing[0];
  return expanded;
}

function pathRemedy(path: string): string {
  const isOtherUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(path);
  return isOtherUrl ? "give a path, or an http, https or data URL" : "check the path";
}

async function imagesIn(directory: string, io: CliIo): Promise<readonly string[]> {
  const entries = await readdir(directory).catch((cause: unknown) => {
    throw unreadable(directory, cause, "check the directory's permissions");
  });
  // Hidden files are skipped, as by globs: on foreign disks macOS adds a ._photo.jpg to photo.jpg, which is not an image.
  const images = entries
    .filter((name) => !name.startsWith(".") && (IMAGE_ENDINGS.test(name) || isVideoFile(name)))
    .sort();
  if (images.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `no image in the directory ${inputName(directory)}`, {
      remedy:
        "its files must end in .jpg, .jpeg, .png, .webp, .gif, or as videos do; subdirectories are not searched",
    });
  }
  const others = entries.length - images.length;
  if (others > 0)
    printNote(
      io,
      `${inputName(directory)}: ${others} skipped: hidden, or without the extension of an image or video`,
    );
  return images.map((name) => join(directory, name));
}

export interface UrlLimits {
  /** Bytes of the body, which is held in memory. */
  readonly maxBytes: number;
  /** Time without a byte. */
  readonly idleMs: number;
}

/** Videos may be large. */
const URL_LIMITS: UrlLimits = { maxBytes: 2 ** 30, idleMs: 30_000 };

/**
 * The bytes of an input. A URL may redirect.
 * @throws VG_FILE_UNREADABLE, VG_MEDIA_UNAVAILABLE for a data URL
 */
export async function readMedia(path: string, io: CliIo, limits = URL_LIMITS): Promise<Uint8Array> {
  // The program base64 breaks its output into lines.
  if (isDataUrl(path)) return readDataUrl(path.replaceAll(/\s/g, ""));
  return isUrl(path) ? fetchMedia(path, limits) : readInput(path, io, pathRemedy(path));
}

async function fetchMedia(url: string, { maxBytes, idleMs }: UrlLimits): Promise<Uint8Array> {
  const controller = new AbortController();
  const idle = setTimeout(() => controller.abort(new Error(`no byte for ${idleMs / 1000} s`)), idleMs);
  try {
    const response = await fetch(url, { signal: controller.signal });
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of response.body ?? []) {
      idle.refresh();
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (cause) {
    // fetch's message is "fetch failed"; the reason is in its cause.
    const { message } = ((cause as Error).cause ?? cause) as Error;
    throw new VitgraphError("VG_FILE_UNREADABLE", `cannot read ${inputName(url)} (${message.trim()})`, {
      remedy: "check the URL, or download the file and give its path",
      cause,
      details: { url: inputName(url) },
    });
  } finally {
    clearTimeout(idle);
    controller.abort();
  }
}

/** Reserved by the safetensors format. */
const RESERVED_NAME = "__metadata__";

/**
 * A tensor's name is its file's name, or the path as given if two files share a name. Taken or reserved names get the
 * suffix "#2", "#3" and so on. Standard input is "stdin", a data URL "data".
 */
export function tensorNames(paths: readonly string[]): readonly string[] {
  const uses = new Map<string, number>();
  for (const path of new Set(paths)) uses.set(fileName(path), (uses.get(fileName(path)) ?? 0) + 1);
  const taken = new Set([RESERVED_NAME]);
  return paths.map((path) => {
    const isShared = uses.get(fileName(path)) !== 1 && !isDataUrl(path);
    const wanted = isShared ? path : fileName(path);
    let name = wanted;
    for (let copy = 2; taken.has(name); copy++) name = `${wanted}#${copy}`;
    taken.add(name);
    return name;
  });
}
