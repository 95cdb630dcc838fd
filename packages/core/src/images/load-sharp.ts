/** sharp, the image library. Loaded when the first image is decoded: a host that passes pixels need not install it. */
import type sharp from "sharp";
import { loadOptional } from "../optional-package.js";

export type SharpModule = typeof sharp;

let loaded: SharpModule | undefined;

/** @throws VG_PACKAGE_UNAVAILABLE */
export async function loadSharp(): Promise<SharpModule> {
  // Cached, since this runs for each image, and TypeScript module loaders take a millisecond for a repeated import.
  loaded ??= (await loadOptional("sharp", "decoding images", () => import("sharp"))).default;
  return loaded;
}
