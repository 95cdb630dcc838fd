/** Closes the loaders of libvips that vitgraph never uses (SVG, TIFF, AVIF, uncompressed, …). */
import { whenSharpLoads } from "./load-sharp.js";

/** Class names in libvips. Each covers the loaders of a format from files, buffers and streams. */
const USED_LOADERS = [
  "VipsForeignLoadJpeg",
  "VipsForeignLoadPng",
  "VipsForeignLoadWebp",
  "VipsForeignLoadNsgif",
];

/**
 * Makes libvips refuse all formats but JPEG, PNG, WebP and GIF, in the whole process, from the first image on. This is
 * a second line of defence: the signature of an image is checked before libvips reads it. For dedicated processes such
 * as the command line only: a host may open other formats with sharp, so the library never calls this.
 */
export function blockUnusedLoaders(): void {
  whenSharpLoads((sharp) => {
    sharp.block({ operation: ["VipsForeignLoad"] });
    sharp.unblock({ operation: USED_LOADERS });
  });
}
