/** Closes the loaders of libvips that vitgraph never uses (SVG, TIFF, AVIF, uncompressed, …). */
import { whenSharpLoads } from "./load-sharp.js";

/** Classes of libvips, each with its loaders from files, buffers and streams. */
const USED_LOADERS = [
  "VipsForeignLoadJpeg",
  "VipsForeignLoadPng",
  "VipsForeignLoadWebp",
  "VipsForeignLoadNsgif",
];

/**
 * Makes libvips refuse every format but JPEG, PNG, WebP and GIF, in the whole process, from the first image on. A second
 * line of defence: the signature of an image is checked before libvips sees it. For dedicated processes such as the
 * command line: it would break a host that opens other formats with sharp, so the library never calls it.
 */
export function blockUnusedLoaders(): void {
  whenSharpLoads((sharp) => {
    sharp.block({ operation: ["VipsForeignLoad"] });
    sharp.unblock({ operation: USED_LOADERS });
  });
}
