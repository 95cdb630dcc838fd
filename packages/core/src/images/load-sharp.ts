/** Loads the image library sharp when the first image is decoded: a host that passes pixels need not install it. */
import type sharp from "sharp";
import { loadOptional } from "../optional-package.js";

export type SharpModule = typeof sharp;

let loaded: SharpModule | undefined;
const settings: ((sharp: SharpModule) => void)[] = [];

/** @throws VG_PACKAGE_UNAVAILABLE */
export async function loadSharp(): Promise<SharpModule> {
  // Cached, since this runs for each image, and TypeScript module loaders take a millisecond for a repeated import.
  if (loaded === undefined) {
    const { default: module } = await loadOptional("sharp", "decoding images", () => import("sharp"));
    for (const set of settings) set(module);
    loaded = module;
  }
  return loaded;
}

/** Calls `set` when sharp is loaded for the first image; at once if it is loaded already. */
export function whenSharpLoads(set: (sharp: SharpModule) => void): void {
  if (loaded === undefined) settings.push(set);
  else set(loaded);
}
