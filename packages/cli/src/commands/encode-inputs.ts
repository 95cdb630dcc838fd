/** The inputs of `vitgraph encode`: files, the images and videos in a directory, or standard input; and the tensors' names. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { VitgraphError } from "@vitgraph/errors";
import type { CliIo } from "../cli-io.js";
import { printNote } from "../cli-io.js";
import { inputName, STDIN } from "../files.js";

/** Files of a directory with other endings are passed over. A file named by itself may have any. */
const IMAGE_ENDINGS = /\.(jpe?g|png|webp|gif)$/i;
const VIDEO_ENDINGS = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ts|flv|ogv|wmv)$/i;

/** A file is a video by its ending: ffmpeg's formats have no signature in common. */
export function isVideoFile(path: string): boolean {
  return VIDEO_ENDINGS.test(path);
}

/**
 * Replaces each directory by the image files in it, sorted by name; directories inside are not entered.
 * @throws VG_ARGUMENT_INVALID for a directory without images, and for standard input named twice
 */
export async function expandDirectories(paths: readonly string[], io: CliIo): Promise<readonly string[]> {
  if (paths.filter((path) => path === STDIN).length > 1) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", "standard input is named twice", {
      remedy: "it holds one image: write one -",
    });
  }
  const expanded: string[] = [];
  for (const path of paths) {
    const isDirectory = path !== STDIN && (await stat(path).catch(() => undefined))?.isDirectory();
    if (isDirectory) expanded.push(...(await imagesIn(path, io)));
    else expanded.push(path);
  }
  return expanded;
}

async function imagesIn(directory: string, io: CliIo): Promise<readonly string[]> {
  const entries = await readdir(directory);
  const images = entries.filter((name) => IMAGE_ENDINGS.test(name) || isVideoFile(name)).sort();
  if (images.length === 0) {
    throw new VitgraphError("VG_ARGUMENT_INVALID", `no image in the directory ${inputName(directory)}`, {
      remedy:
        "its files must end in .jpg, .jpeg, .png, .webp, .gif, or as videos do; directories inside are not entered",
    });
  }
  const others = entries.length - images.length;
  if (others > 0)
    printNote(io, `${inputName(directory)}: ${others} entries without an image's ending skipped`);
  return images.map((name) => join(directory, name));
}

/** Reserved by the safetensors format. */
const RESERVED_NAME = "__metadata__";

/**
 * A tensor's name is its file's name; the path as it was given where two files share a name. Behind a name that is taken
 * or reserved stands "#2", "#3" and so on. Standard input is "stdin".
 */
export function tensorNames(paths: readonly string[]): readonly string[] {
  const fileName = (path: string) => (path === STDIN ? "stdin" : basename(path));
  const uses = new Map<string, number>();
  for (const path of new Set(paths)) uses.set(fileName(path), (uses.get(fileName(path)) ?? 0) + 1);
  const taken = new Set([RESERVED_NAME]);
  return paths.map((path) => {
    const wanted = uses.get(fileName(path)) === 1 ? fileName(path) : path;
    let name = wanted;
    for (let copy = 2; taken.has(name); copy++) name = `${wanted}#${copy}`;
    taken.add(name);
    return name;
  });
}
