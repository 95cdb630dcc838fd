/** What decodes images and videos on this machine, for `vitgraph doctor`. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { VitgraphError } from "@vitgraph/errors";
import { loadSharp } from "./images/load-sharp.js";

/** The decoders of images and videos on this machine. */
export interface DecoderVersions {
  /** Versions of the image library and of libvips under it, or why it cannot be loaded. */
  readonly images:
    | { readonly sharp: string; readonly libvips: string }
    | { readonly reason: string; readonly remedy: string };
  /** ffmpeg's version; null where it cannot be run, and only GIF and WebP clips can be decoded. */
  readonly videos: { readonly ffmpeg: string | null };
}

/** Versions of the libraries that decode images and videos, or why they cannot be used. */
export async function decoderVersions(): Promise<DecoderVersions> {
  return { images: await imageLibrary(), videos: { ffmpeg: await ffmpegVersion() } };
}

async function imageLibrary(): Promise<DecoderVersions["images"]> {
  try {
    const { sharp = "unknown", vips: libvips } = (await loadSharp()).versions;
    return { sharp, libvips };
  } catch (error) {
    if (!VitgraphError.is(error)) throw error;
    return { reason: error.fact, remedy: error.remedy ?? "" };
  }
}

function ffmpegVersion(): Promise<string | null> {
  return promisify(execFile)("ffmpeg", ["-version"]).then(
    ({ stdout }) => /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? "unknown",
    () => null,
  );
}
