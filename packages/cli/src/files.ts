/** Files that commands read and write. Outputs are written atomically; their ending determines the format. */
import { constants, readFileSync } from "node:fs";
import { access, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import { writeAtomically } from "@vitgraph/core";
import { LONGEST_PATH, shorten, VitgraphError } from "@vitgraph/errors";
import { InvalidArgumentError } from "commander";
import { glob, isDynamicPattern } from "tinyglobby";
import type { CliIo } from "./cli-io.js";

/** The name of standard input where a file is expected. */
export const STDIN = "-";

/**
 * The content of a file, or of standard input where the path is "-".
 * @param remedy for a file that cannot be read
 * @throws VG_FILE_UNREADABLE
 */
export async function readInput(path: string, io: CliIo, remedy: string): Promise<Uint8Array> {
  try {
    return path === STDIN ? await io.stdin() : await readFile(path);
  } catch (cause) {
    throw unreadable(path, cause, remedy);
  }
}

/**
 * Replaces each glob by the files that match it, sorted: for quoted patterns, and for shells that do not expand them. An
 * existing path is not a glob, even if it has * or ? in its name.
 * @throws VG_FILE_UNREADABLE for a glob that matches nothing
 */
export async function expandGlobs(paths: readonly string[]): Promise<readonly string[]> {
  const expanded: string[] = [];
  for (const path of paths) {
    const exists = async () => (await stat(path).catch(() => undefined)) !== undefined;
    if (isUrl(path) || !isDynamicPattern(path) || (await exists())) {
      expanded.push(path);
      continue;
    }
    // Patterns have slashes on every system.
    const pattern = process.platform === "win32" ? path.replaceAll("\\", "/") : path;
    const matches = await glob(pattern, { absolute: isAbsolute(path), expandDirectories: false });
    if (matches.length === 0) {
      throw new VitgraphError("VG_FILE_UNREADABLE", `no file matches ${inputName(path)}`, {
        remedy: "check the pattern: * and ? do not cross directories, ** does",
        details: { path: inputName(path) },
      });
    }
    expanded.push(...matches.sort());
  }
  return expanded;
}

/** http, https or data. */
export function isUrl(path: string): boolean {
  return /^(https?:\/\/|data:)/i.test(path);
}

/** Like {@link readInput}, decoded as UTF-8, without a byte order mark. */
export async function readTextInput(path: string, io: CliIo, remedy: string): Promise<string> {
  return decodeUtf8(path, await readInput(path, io, remedy)).replace(/^\uFEFF/, "");
}

/** Reads a text file synchronously, for parsers. @throws VG_FILE_UNREADABLE */
export function readTextSync(path: string, remedy: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw unreadable(path, cause, remedy);
  }
  return decodeUtf8(path, bytes);
}

/**
 * Decodes UTF-8 and keeps the byte order mark.
 * @throws VG_FILE_UNREADABLE for other encodings, such as UTF-16 or Latin-1; Python rejects them too
 */
export function decodeUtf8(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const name = inputName(path);
    throw new VitgraphError("VG_FILE_UNREADABLE", `${name} is not UTF-8`, {
      remedy: "save it in that encoding",
      cause,
      details: { path: name },
    });
  }
}

/** Checks the file of `--llm` before a vision tower is loaded. @throws VG_FILE_UNREADABLE if it cannot be read */
export async function checkLlm(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    throw unreadable(path, cause, "give a GGUF file with --llm; `vitgraph gguf` makes one from a checkpoint");
  }
}

/** Checks an image or video before a language model is loaded. @throws VG_FILE_UNREADABLE if it cannot be read */
export async function checkMedia(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
  } catch (cause) {
    throw unreadable(path, cause, "check the path");
  }
}

/** @param cause the error of the file system */
export function unreadable(path: string, cause: unknown, remedy: string): VitgraphError {
  const name = inputName(path);
  // The system's text repeats the path.
  const reason = (cause as Error).message.replaceAll(path, name);
  return new VitgraphError("VG_FILE_UNREADABLE", `cannot read ${name} (${reason})`, {
    remedy,
    cause,
    details: { path: name },
  });
}

/** Characters of a data URL in a name: its media type, and a few of the data. */
const MAX_DATA_URL = 40;

/** A file's name for messages. */
export function inputName(path: string): string {
  if (path === STDIN) return "standard input";
  return shorten(path, /^data:/i.test(path) ? MAX_DATA_URL : LONGEST_PATH);
}

/** Parser of an option whose file name must have one of these endings, such as ".svg". */
export function outputPath(...endings: readonly string[]): (path: string) => string {
  const names = [endings.slice(0, -1).join(", "), endings.at(-1)].filter(Boolean).join(" or ");
  return (path) => {
    if (endings.some((ending) => path.toLowerCase().endsWith(ending))) return path;
    throw new InvalidArgumentError(`the file is written as ${names}: give a name that ends in ${names}`);
  };
}

/**
 * Checks before long work that its output can be written.
 * @throws VG_FILE_UNWRITABLE
 */
export async function checkOutput(path: string | undefined): Promise<void> {
  if (path === undefined) return;
  const directory = dirname(path);
  const found = await stat(directory).catch(() => undefined);
  if (found === undefined) throw unwritable(path, `there is no directory ${directory}`, "make it first");
  if (!found.isDirectory()) throw unwritable(path, `${directory} is not a directory`, "check the path");
  if ((await stat(path).catch(() => undefined))?.isDirectory() === true)
    throw unwritable(path, "it is a directory", "add a file's name");
  await access(directory, constants.W_OK).catch((cause) => {
    throw unwritable(path, (cause as Error).message, WRITE_REMEDY, cause);
  });
}

/**
 * Writes a file atomically: others may be watching for its name. An interrupt waits until it is done.
 * @throws VG_FILE_UNWRITABLE
 */
export async function writeOutput(
  path: string,
  content: string | Uint8Array | Iterable<string | Uint8Array>,
  io: CliIo,
): Promise<void> {
  using _ = io.onInterrupt(() => {});
  try {
    await writeAtomically(path, content);
  } catch (cause) {
    throw unwritable(path, (cause as Error).message, WRITE_REMEDY, cause);
  }
}

/**
 * Like {@link checkOutput}, for a file that must not exist.
 * @throws VG_FILE_UNWRITABLE
 */
export async function checkNewOutput(path: string): Promise<void> {
  await checkOutput(path);
  if ((await stat(path).catch(() => undefined)) !== undefined) throw exists(path);
}

/**
 * Writes a file that must not exist.
 * @throws VG_FILE_UNWRITABLE
 */
export async function writeNewOutput(path: string, content: string): Promise<void> {
  try {
    await writeFile(path, content, { flag: "wx" });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") throw exists(path);
    throw unwritable(path, (cause as Error).message, WRITE_REMEDY, cause);
  }
}

function exists(path: string): VitgraphError {
  return unwritable(path, "it exists", "give another name, or remove it first");
}

const WRITE_REMEDY = "check the directory's permissions and the space on its disk";

/** @param reason the file system's text, or a fact */
export function unwritable(
  path: string,
  reason: string,
  remedy = WRITE_REMEDY,
  cause?: unknown,
): VitgraphError {
  return new VitgraphError("VG_FILE_UNWRITABLE", `cannot write ${path} (${reason})`, {
    remedy,
    details: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
