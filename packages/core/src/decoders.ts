/** What decodes images and videos on this machine, for `vitgraph doctor`. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { loadSharp } from "./images/load-sharp.js";

export interface DecoderVersions {
  /** Versions of the image library and of libvips under it. */
  readonly images: { readonly sharp: string; readonly libvips: string };
  /** ffmpeg's version; null where it cannot be run, and only GIF and WebP clips can be decoded. */
  readonly videos: { readonly ffmpeg: string | null };
}

/** @throws VG_PACKAGE_UNAVAILABLE without sharp */
export async function decoderVersions(): Promise<DecoderVersions> {
  const { sharp = "unknown", vips: libvips } = (await loadSharp()).versions;
  const ffmpeg = await promisify(execFile)("ffmpeg", ["-version"]).then(
    ({ stdout }) => /^ffmpeg version (\S+)/.exec(stdout)?.[1] ?? "unknown",
    () => null,
  );
  return { images: { sharp, libvips }, videos: { ffmpeg } };
}
