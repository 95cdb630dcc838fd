/** The built files of the live page, in memory. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname } from "node:path";
import { gzipSync } from "node:zlib";
import { StatusError } from "./http-errors.js";

export interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly bytes: Buffer;
  readonly gzipped: Buffer;
}

/** The same relative path from src/ and from dist/. */
const FOLDER = new URL("../dist/page/", import.meta.url);

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

/** Files by name. @throws StatusError 503 if the page is not built, as in a checkout that runs from its sources */
export async function readPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  let names: readonly string[];
  try {
    names = await readdir(FOLDER);
  } catch {
    throw new StatusError(503, "the live page is not built", "build the package: npm start");
  }
  const files = names.map(async (name) => {
    const bytes = await readFile(new URL(name, FOLDER));
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 27)}"`;
    const type = TYPES[extname(name)] ?? "application/octet-stream";
    return [name, { type, etag, bytes, gzipped: gzipSync(bytes) }] as const;
  });
  return new Map(await Promise.all(files));
}
